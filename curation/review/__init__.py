"""The review of samples by people, in a browser on the same machine."""
