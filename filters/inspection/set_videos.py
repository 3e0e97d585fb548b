"""The videos of a set: which are at hand, which of these can be decoded, and how long they are."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from dmforge.curation.io.locations import files
from dmforge.curation.sources.annotations import AMBIGUOUS, MISSING
from dmforge.curation.sources.video_names import VideoFinder
from dmforge.curation.sources.videos import SUFFIXES
from dmforge.curation.video.isolated_probe import FileReport, inspect_file
from dmforge.filters.inspection.set_findings import SetTally


class SetVideos:
    """The video files in some folders."""

    def __init__(self, folders: Sequence[Path]) -> None:
        self._finder = VideoFinder((path, path) for folder in folders for path in files([str(folder)], SUFFIXES))
        self._report_by_path: dict[str, FileReport] = {}

    def probe(self, names: Iterable[str]) -> None:
        """Look at each video that one of these names means, in a process of its own that is killed where it hangs."""
        paths = sorted({matches[0] for matches in map(self._finder.find, set(names)) if len(matches) == 1})
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            self._report_by_path = dict(zip(paths, pool.map(inspect_file, map(Path, paths)), strict=True))

    def is_missing(self, video: str) -> bool:
        return not self._finder.find(video)

    def check(self, row: int, video: str, tally: SetTally) -> int | None:
        """Check the video of a row; how long it is, where it is at hand and can be decoded."""
        matches = self._finder.find(video)
        if len(matches) != 1:
            tally.add("video_missing", row, AMBIGUOUS if matches else MISSING, video)
            return None
        tally.groups["found"] += 1
        report = self._report_by_path[matches[0]]
        if not report.ok:
            tally.add("video_unreadable", row, report.reason, video)
        return None if report.duration is None else round(report.duration * 100)
