"""What is measured against what. One file a question; each prints a table, with its baseline from the same run."""
