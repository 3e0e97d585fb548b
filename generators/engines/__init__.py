"""What continues transcripts: one protocol, several engines."""
