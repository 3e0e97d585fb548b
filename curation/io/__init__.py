"""Files, locks, addresses and terminals: what every room uses, and knows nothing of any."""
