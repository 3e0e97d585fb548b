"""Whether everything in a workspace is as it was written, and what can be had again of what isn't."""
