"""Words that audits share, as SQL: each file makes one view or macro, of its own name."""
