"""Pauses between tries that grow: whoever waits for long asks less often."""

from __future__ import annotations

from collections.abc import Iterator


def growing_pauses_s(first_s: float, max_s: float, growth: float) -> Iterator[float]:
    """Pauses in seconds without end, each `growth` times the one before, up to `max_s`."""
    pause_s = first_s
    while True:
        yield pause_s
        pause_s = min(growth * pause_s, max_s)
