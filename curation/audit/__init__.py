"""The lake seen with SQL."""
