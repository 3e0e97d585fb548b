"""Corpora as tar shards: packing, checking, reading at random or as a stream."""

from dmforge.curation.shards.streaming import stream

__all__ = ["stream"]
