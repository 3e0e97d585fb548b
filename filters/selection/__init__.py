"""Scores become corpora: thresholds, caps, balance, quotas."""
