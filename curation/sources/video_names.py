"""Names of videos: `v_abc`, `ytb_abc.mp4`, `dir/abc_10.0_20.0.mkv` mean the same video, the last a part of it."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import PurePosixPath
from typing import Generic, TypeVar

T = TypeVar("T")
PREFIXES = ("v_", "ytb_")
SUFFIX = re.compile(r"\.(?:mp4|m4v|mov|mkv|webm|avi|ts|mts|m2ts|mpe?g|vob|3gp|flv|wmv|asf|ogv|mxf|gif)$", re.IGNORECASE)
CLOCK = r"(?:\d+:)*\d+(?:\.\d+)?"
PART = re.compile(rf"(?P<id>.+)_(?P<start>{CLOCK})_(?P<end>{CLOCK})")


@dataclass(frozen=True, slots=True)
class VideoName:
    """A video's id without what files add to it, and the part of it that a file holds."""

    id: str
    part: tuple[float, float] | None = None


def parse(file_name: str) -> VideoName:
    """The name in a path, a file name or an id."""
    name_stem = SUFFIX.sub("", PurePosixPath(file_name.strip()).name)
    part_match = PART.fullmatch(name_stem)
    part_bounds_s = (_seconds(part_match["start"]), _seconds(part_match["end"])) if part_match else None
    if part_match is not None and part_bounds_s is not None and part_bounds_s[0] < part_bounds_s[1]:
        return VideoName(_bare(part_match["id"]), part_bounds_s)
    return VideoName(_bare(name_stem))


class VideoFinder(Generic[T]):
    """A look-up of videos by name: exactly, else by what is left without prefixes, suffixes and folders."""

    def __init__(self, named_videos: Iterable[tuple[str, T]]) -> None:
        self._by_exact_name: defaultdict[str, dict[T, None]] = defaultdict(dict)
        self._by_parsed_name: defaultdict[VideoName, dict[T, None]] = defaultdict(dict)
        for video_name, video in named_videos:
            self._by_exact_name[video_name][video] = None
            self._by_parsed_name[parse(video_name)][video] = None

        self.find = lru_cache(1 << 16)(self._find)

    def _find(self, name: str) -> list[T]:
        """All videos that a name may mean. A part of a video is not the video, nor another part: times would not fit."""
        for name_variant in (name, PurePosixPath(name).name, SUFFIX.sub("", PurePosixPath(name).name)):
            if name_variant in self._by_exact_name:
                return list(self._by_exact_name[name_variant])
        return list(self._by_parsed_name.get(parse(name), ()))


def _bare(name_stem: str) -> str:
    for name_prefix in PREFIXES:
        if name_stem.startswith(name_prefix) and len(name_stem) > len(name_prefix):
            return name_stem[len(name_prefix) :]
    return name_stem


def _seconds(clock: str) -> float:
    """`12.5`, `1:02:03`, and `00:00:39:000`, whose last part is milliseconds."""
    clock_parts = [float(clock_part) for clock_part in clock.split(":")]
    if len(clock_parts) == 4:
        *clock_parts, milliseconds = clock_parts
        clock_parts[-1] += milliseconds / 1000
    total_s = 0.0
    for clock_part in clock_parts:
        total_s = total_s * 60 + clock_part
    return total_s
