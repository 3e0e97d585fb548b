"""Others who do the same work, measured beside us in one run: their scripts, ours, and who holds the watch."""
