"""Lessons: what a student from scratch has to know before it can learn to look, as ordinary corpora about synthetic worlds."""
