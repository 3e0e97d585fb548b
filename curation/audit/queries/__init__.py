"""Named queries: each `.sql` file begins with the question that it answers."""
