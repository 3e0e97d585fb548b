"""Corpora as tars: packed, checked, read at random or as a stream."""

from dmforge.curation.shards.streaming import stream

__all__ = ["stream"]
