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
        with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
            self._report_by_path = dict(zip(paths, pool.map(inspect_file, map(Path, paths)), strict=True))

    def is_missing(self, video: str) -> bool:
        return not self._finder.find(video)

    def duration_cs(self, video: str) -> int | None:
        """How long a video is, where it is at hand and can be decoded."""
        report = self._report_of(video)
        return None if report is None or report.duration is None else round(report.duration * 100)

    def check(self, row: int, video: str, tally: SetTally) -> None:
        """Check whether the video of a row is at hand, and can be decoded."""
        report = self._report_of(video)
        if report is None:
            tally.add("video_missing", row, MISSING if self.is_missing(video) else AMBIGUOUS, video)
            return
        tally.groups["found"] += 1
        if not report.ok:
            tally.add("video_unreadable", row, report.reason, video)

    def _report_of(self, video: str) -> FileReport | None:
        matches = self._finder.find(video)
        return self._report_by_path[matches[0]] if len(matches) == 1 else None
