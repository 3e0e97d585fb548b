"""Engines, which continue transcripts: one protocol, several implementations."""
