"""Synthetic data about which everything is known: rendered worlds, and an oracle that answers about them."""
