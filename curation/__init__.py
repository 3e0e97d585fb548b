"""Everything that touches a disk: sources, video, lake, executors, shards, audit. Knows no model."""
