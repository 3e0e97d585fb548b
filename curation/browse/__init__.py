"""Every task and candidate of a workspace in a browser: an index in memory, and the pages that ask it."""
