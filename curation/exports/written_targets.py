"""Reads the looks of a target from rows of exports: one or several, unchecked, so that faults can be found."""

from __future__ import annotations

from typing import Any

from dmforge.curation.shards.document import SEPARATOR, ShardSample
from dmforge.schemas.looks import read_density, read_span

TargetNumbers = tuple[float, float, float]
"""Start and end of a look in seconds, and its density."""


def sample_targets(sample: ShardSample) -> tuple[TargetNumbers, ...]:
    """The looks of a target in a shard."""
    return tuple((look.window.start_cs / 100, look.window.end_cs / 100, float(look.fps)) for look in sample.target_looks)


def trl_targets(target_window: Any, target_fps: Any) -> tuple[TargetNumbers, ...]:
    """The looks of a target in a row for TRL: a window and a density, or a list of each."""
    is_list = isinstance(target_fps, list)
    windows_s: list[Any] = target_window if is_list else [target_window]
    densities: list[Any] = target_fps if is_list else [target_fps]
    return tuple((float(start_s), float(end_s), float(fps)) for (start_s, end_s), fps in zip(windows_s, densities, strict=True))


def hub_targets(windows_text: str, densities_text: str) -> tuple[TargetNumbers, ...]:
    """The looks of a target in a row for the Hub, texts as in a document; none where one of them can't be read."""
    span_texts, density_texts = windows_text.split(SEPARATOR), densities_text.split(SEPARATOR)
    numbers: list[TargetNumbers] = []
    for span_text, density_text in zip(span_texts, density_texts, strict=True):
        bounds_cs, fps = read_span(span_text), read_density(density_text)
        if not bounds_cs or not fps:
            return ()
        numbers.append((bounds_cs[0] / 100, bounds_cs[1] / 100, float(fps)))
    return tuple(numbers)
