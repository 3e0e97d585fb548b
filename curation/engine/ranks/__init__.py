"""Several processes at one workspace: each has its share of the videos, and nobody coordinates."""
