"""What pages on loopback share: the guard, the server, a reviewer's decisions, and how a sample is shown."""
