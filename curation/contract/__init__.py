"""What a stage is, what it gives back, and what it may spend."""
