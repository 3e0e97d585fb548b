"""The model that is trained: its tokens, its pixels, its checkpoints."""
