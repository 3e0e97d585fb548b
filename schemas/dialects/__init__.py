"""The written forms of one record: each dialect parses, renders and transcribes the same trajectories."""
