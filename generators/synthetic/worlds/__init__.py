"""Short rendered videos about which everything is known: what is shown when, what may be asked, and what it takes to see it."""
