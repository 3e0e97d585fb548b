"""What people bring: videos and annotations, written down in `inputs/` so that the lake follows from it."""
