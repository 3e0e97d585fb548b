"""Clips that a processor wrote out, as one placeholder each again: what a server takes that writes them out itself.

verl 0.9.1 hands vLLM a prompt in which clips are written out, and leaves one placeholder of each run. That is right for an
image, which is one run. A clip of Qwen3-VL is a run for each pair of frames, and vLLM takes the second run of the first clip
for the second clip.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from dmforge.schemas.errors import InputError


@dataclass(frozen=True, slots=True)
class VideoTokens:
    """The ids that stand around and for the frames of a video."""

    start: int
    pad: int
    end: int


def unexpanded(ids: Sequence[int], patch_counts: Sequence[int], tokens: VideoTokens) -> list[int]:
    """The ids with one placeholder for each clip, where clips have so many patches, in order: all between its outer markers,
    stamps included, is what a server writes anew."""
    pad_runs = _pad_runs(ids, tokens.pad)
    if len(pad_runs) != sum(patch_counts):
        raise _unlike(f"{len(pad_runs)} patches stand in the prompt, and its clips have {sum(patch_counts)}")
    shortened, kept_to, first_run = list[int](), 0, 0
    for patch_count in patch_counts:
        outer_start = _outer_start(ids, pad_runs[first_run][0], tokens.start)
        outer_end = pad_runs[first_run + patch_count - 1][1] + 1
        if ids[outer_end : outer_end + 1] != [tokens.end] or outer_start < kept_to:
            raise _unlike("a clip has no markers around it")
        shortened += [*ids[kept_to : outer_start + 1], tokens.pad]
        kept_to, first_run = outer_end, first_run + patch_count
    return [*shortened, *ids[kept_to:]]


def _pad_runs(ids: Sequence[int], pad: int) -> list[tuple[int, int]]:
    """Where each run of placeholders begins and ends."""
    is_pad = [False, *(token == pad for token in ids), False]
    bounds = [place for place in range(len(ids) + 1) if is_pad[place] != is_pad[place + 1]]
    return list(zip(bounds[::2], bounds[1::2], strict=True))


def _outer_start(ids: Sequence[int], first_pad: int, start: int) -> int:
    """The marker before the stamp of a clip's first patch, which has a marker of its own before its placeholders."""
    return next((place for place in range(first_pad - 2, -1, -1) if ids[place] == start), -1)


def _unlike(message: str) -> InputError:
    return InputError(message, where="prompt_ids", hint="use transformers 5, whose processor of Qwen3-VL keeps these markers")
