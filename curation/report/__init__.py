"""The lake as one page that explains itself: figures, and samples as cards."""
