"""Stands for torchaudio, of which no clip here has need."""
