"""The videos of a set: which are at hand, which of these can be decoded, and how long they are."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from dmforge.curation.sources.annotations import AMBIGUOUS, MISSING
from dmforge.curation.sources.video_names import VideoFinder
from dmforge.curation.sources.videos import files_in
from dmforge.curation.video.isolated_probe import FileReport, inspect_file
from dmforge.curation.video.media import COARSE_SUFFIX
from dmforge.filters.inspection.set_findings import SetTally
from dmforge.schemas.errors import InputError
from dmforge.schemas.ids import read


class SetVideos:
    """The video files in some folders."""

    def __init__(self, folders: Sequence[Path]) -> None:
        self._finder = VideoFinder(_named_files(folders))
        self._report_by_path: dict[str, FileReport] = {}

    def probe(self, names: Iterable[str]) -> None:
        """Look at each video that one of these names means, in a process of its own that is killed where it hangs."""
        paths = sorted({matches[0] for matches in map(self._finder.find, set(names)) if len(matches) == 1})
        with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
            self._report_by_path = dict(zip(paths, pool.map(inspect_file, map(Path, paths)), strict=True))

    def is_missing(self, video: str) -> bool:
        return not self._finder.find(video)

    def duration_cs(self, video: str) -> int | None:
        """How long a video is, where it is at hand and can be decoded; of an overview the last frame doesn't say it."""
        report = self._report_of(video)
        if report is None or report.duration is None or report.path.endswith(COARSE_SUFFIX):
            return None
        return round(report.duration * 100)

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


def _named_files(folders: Sequence[Path]) -> Iterator[tuple[str, str]]:
    """The videos in folders by their paths and, in our own exports, by the ids that they are called by; an overview stands
    for its video where that isn't there as a whole."""
    paths = set(files_in(folders))
    for path in paths:
        yield path, path
        whole_path = f"{path.removesuffix(COARSE_SUFFIX)}.mp4" if path.endswith(COARSE_SUFFIX) else path
        video_name = f"video_{Path(whole_path).stem}"
        if (path == whole_path or whole_path not in paths) and _is_id(video_name):
            yield video_name, path


def _is_id(text: str) -> bool:
    try:
        read(text)
    except InputError:
        return False
    return True
