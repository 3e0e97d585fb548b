"""Teachers: models behind an OpenAI-compatible endpoint that are shown frames and paid for their answers."""
