"""Files that people bring, what stands in `media/`, and the frames that are read from it."""
