"""Samples looked at by people, in a browser on the same machine."""
