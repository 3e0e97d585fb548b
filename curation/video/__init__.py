"""Video files: opening and probing foreign ones, rendering them into `media/`, and reading frames from there."""
