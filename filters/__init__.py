"""Everything that judges: rules, blind answering, replay, duplicates, contamination, selection, human review."""
