"""Samples of the lake become shards with a card."""
