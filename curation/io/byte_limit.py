"""A limit on the bytes of one reply or file: a server can send for ever."""

from __future__ import annotations

from collections.abc import Callable


class ByteLimit:
    """Counts the bytes that pass. `error` makes the error for more than `max_bytes`, in the family that the caller expects."""

    def __init__(self, max_bytes: int, error: Callable[[], Exception]) -> None:
        self._max_bytes, self._error, self._passed_bytes = max_bytes, error, 0

    def passed(self, chunk: bytes) -> bytes:
        """The chunk, if the limit isn't exceeded with it."""
        self._passed_bytes += len(chunk)
        if self._passed_bytes > self._max_bytes:
            raise self._error()
        return chunk
