"""An audit of a released set: its rows are read once or, with videos, twice, and never held."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dmforge.curation.io.command_result import Block, CommandResult, TextTable
from dmforge.curation.output_paths import output_file
from dmforge.curation.sources.missing_videos import write_missing_videos
from dmforge.curation.sources.videos import SUFFIXES
from dmforge.filters.inspection.benchmark_matches import BenchmarkMatches
from dmforge.filters.inspection.option_balance import MIN_QUESTIONS, GuessAccuracy, LetterShares, OptionBalance
from dmforge.filters.inspection.parallel_checks import check_rows
from dmforge.filters.inspection.question_twins import QuestionTwins
from dmforge.filters.inspection.row_checks import CheckedRow
from dmforge.filters.inspection.set_checks import CHECKS
from dmforge.filters.inspection.set_files import HINT, UNKNOWN, ReleasedSet, lacking_companion, open_set
from dmforge.filters.inspection.set_findings import SetFinding, SetTally
from dmforge.filters.inspection.set_rows import SetRow, read_set
from dmforge.filters.inspection.set_videos import SetVideos
from dmforge.schemas.errors import InputError
from dmforge.schemas.scoring import choice

Progress = Callable[[int], None]
"""Called with the number of rows that are done."""
ROWS_BETWEEN = 10_000
MAX_NAMES, MAX_LEFT_ASIDE = 8, 200
"""Files that are left aside and named, on a terminal and on the page."""
MAX_CELL = 100
"""Letters of an example in a table; the page and --json have more."""


@dataclass(frozen=True, slots=True)
class InspectedFile:
    """A file of the set."""

    name: str
    format: str
    split: str
    rows: int

    def as_json(self) -> dict[str, Any]:
        return {"file": self.name, "format": self.format, "split": self.split, "records": self.rows}


@dataclass(frozen=True, slots=True)
class Inspection(CommandResult):
    """What was found in a set."""

    title: str
    """The names of the places where it lies."""
    files: tuple[InspectedFile, ...]
    left_aside: Mapping[str, str]
    """Files without annotations of a known format, and why."""
    groups: Mapping[str, int]
    """How many rows there are of each kind that checks are made on."""
    findings: tuple[SetFinding, ...]
    unchecked: Mapping[str, str]
    """Checks that were not made, and what they need."""
    letters: tuple[LetterShares, ...]
    guesses: tuple[GuessAccuracy, ...]
    lost: int
    """Rows with any fault for which one would drop them."""
    missing: Mapping[str, Mapping[str, int]]
    """By namespace, the names of videos that are not at hand, with the number of their questions."""

    @property
    def records(self) -> int:
        return self.groups.get("rows", 0)

    @property
    def sound(self) -> tuple[str, ...]:
        """The checks that were made and found nothing."""
        names = {finding.check.name for finding in self.findings} | set(self.unchecked)
        return tuple(name for name, check in CHECKS.items() if name not in names and self.groups.get(check.group))

    def as_json(self) -> dict[str, Any]:
        return {
            "records": self.records,
            "findings": [finding.as_json() for finding in self.findings],
            "files": [file.as_json() for file in self.files],
            "left_aside": dict(self.left_aside),
            "sound": list(self.sound),
            "unchecked": dict(self.unchecked),
            "options": {
                "letters": [shares.as_json() for shares in self.letters],
                "guesses": [guess.as_json() for guess in self.guesses],
            },
            "lost": {
                "together": self.lost,
                "left": self.records - self.lost,
                "alone": {finding.check.name: finding.count for finding in self.findings if finding.check.drops},
            },
        }

    def blocks(self) -> Iterator[Block]:
        formats = ", ".join(dict.fromkeys(file.format for file in self.files))
        trajectories = self.groups.get("trajectories", 0)
        file_count = "one file" if len(self.files) == 1 else f"{len(self.files)} files"
        yield f"{self.records} rows in {file_count} of {formats}; {trajectories} with a trajectory"
        if self.findings:
            yield TextTable(["check", "rows", "share", "of", "lost", "by it alone", "as in"], list(map(_row, self.findings)))
        yield from (str(guess) for guess in self.guesses if guess.questions >= MIN_QUESTIONS)
        if self.sound:
            yield f"sound: {', '.join(self.sound)}"
        yield from (f"not checked, {need}: {', '.join(names)}" for need, names in self.unchecked_by_need())
        if self.left_aside:
            named_faults = [f"{name} ({reason})" for name, reason in self.left_aside.items() if reason != UNKNOWN]
            yield f"left aside: {_listed([*named_faults, *(name for name, why in self.left_aside.items() if why == UNKNOWN)])}"
        yield f"{self.records - self.lost} of {self.records} rows are left without those that are lost"

    def unchecked_by_need(self) -> list[tuple[str, list[str]]]:
        """What is needed for checks that were not made, and which these are."""
        return [
            (need, [name for name, other_need in self.unchecked.items() if other_need == need])
            for need in dict.fromkeys(self.unchecked.values())
        ]

    def first_left_aside(self) -> list[tuple[str, str]]:
        return list(self.left_aside.items())[:MAX_LEFT_ASIDE]

    def write_missing(self, path: Path) -> int:
        """Write the list of videos that are not at hand, a line of JSON each; how many there are."""
        return write_missing_videos(output_file(path, "--missing"), self.missing)


def inspect_set(
    places: Sequence[Path],
    video_folders: Sequence[Path] = (),
    benchmarks: Sequence[Path] = (),
    format_name: str | None = None,
    progress: Progress | None = None,
) -> Inspection:
    """Inspect a set, given as files and folders, with the videos in it or in these folders."""
    matches = BenchmarkMatches(benchmarks) if benchmarks else None
    released_set = open_set(places, format_name)
    videos = _videos(released_set, video_folders or [place for place in places if _has_videos(place)])
    title = ", ".join(place.name or str(place) for place in places)
    inspector = _Inspector(released_set, videos, matches)
    rows_with_lengths = ((row, videos.duration_cs(row.question.video) if videos else None) for row in read_set(released_set))
    for row_count, (row, checked_row) in enumerate(check_rows(rows_with_lengths), 1):
        inspector.add(row, checked_row)
        if progress and not row_count % ROWS_BETWEEN:
            progress(row_count)
    inspection = inspector.inspection(title)
    if not inspection.groups.get("questions"):
        reasons = ", ".join(example.fault for finding in inspection.findings for example in finding.examples)
        where = ", ".join(map(str, places))[:200]
        raise InputError(f"no row can be read: {reasons[:200]}", where=where, hint=lacking_companion(released_set) or HINT)
    return inspection


class _Inspector:
    """The checks of a set, row by row, and then those of all rows together."""

    def __init__(self, released_set: ReleasedSet, videos: SetVideos | None, matches: BenchmarkMatches | None) -> None:
        self._set, self._videos, self._matches = released_set, videos, matches
        self._tally = SetTally([set_file.name for set_file in released_set.files])
        self._balance, self._twins = OptionBalance(), QuestionTwins()
        self._missing: defaultdict[str, Counter[str]] = defaultdict(Counter[str])

    def add(self, row: SetRow, checked_row: CheckedRow) -> None:
        set_file = self._set.files[row.file]
        row_number = self._tally.begin(row.file, row.place)
        self._tally.groups.update(checked_row.groups)
        if row.question.video:
            self._check_video(row_number, row.question.video, set_file.namespace)
        for fault in checked_row.faults:
            self._tally.add(fault.check, row_number, fault.reason, fault.fault)
        task = checked_row.task
        if task is None:
            return
        if (right_index := choice(task.answer, checked_row.options)) is not None:
            self._balance.add(row_number, checked_row.options, right_index)
        self._twins.add(row_number, row.question.video, task, set_file.split)
        if self._matches is not None:
            self._matches.check_question(row_number, task.question, self._tally)

    def inspection(self, title: str) -> Inspection:
        self._twins.report(self._tally)
        self._balance.report(self._tally)
        row_counts = self._tally.files()
        inspected_files = (
            InspectedFile(set_file.name, set_file.format_name, set_file.split, row_counts[set_file.name])
            for set_file in self._set.files
        )
        return Inspection(
            title, tuple(inspected_files), self._set.left_aside, dict(self._tally.groups), self._tally.findings(),
            self._unchecked(), self._balance.letter_shares(), self._balance.guesses(), self._tally.lost(), self._missing,
        )  # fmt: skip

    def _check_video(self, row_number: int, video: str, namespace: str) -> None:
        """Look for the video of a row, here and in benchmarks."""
        self._tally.groups["named"] += 1
        if self._matches is not None:
            self._matches.check_video(row_number, namespace, video, self._tally)
        if self._videos is not None:
            self._videos.check(row_number, video, self._tally)
        if self._videos is None or self._videos.is_missing(video):
            self._missing[namespace][video] += 1

    def _unchecked(self) -> dict[str, str]:
        unchecked: dict[str, str] = {}
        if self._matches is None:
            unchecked |= dict.fromkeys(("benchmark_video", "benchmark_question"), "needs --benchmark FILE")
        if self._videos is None:
            unchecked |= dict.fromkeys(("video_missing", "video_unreadable"), "needs --videos DIR")
        if len({set_file.split for set_file in self._set.files} - {""}) < 2:
            unchecked |= dict.fromkeys(("across_splits", "video_across_splits"), "needs files of two splits")
        return unchecked | self._balance.unchecked()


def _videos(released_set: ReleasedSet, folders: Sequence[Path]) -> SetVideos | None:
    if not folders:
        return None
    videos = SetVideos(folders)
    videos.probe(row.question.video for row in read_set(released_set) if row.question.video)
    return videos


def _has_videos(place: Path) -> bool:
    return place.is_dir() and any(path.suffix.lower() in SUFFIXES for path in place.rglob("*"))


def _listed(names: Sequence[str]) -> str:
    """The first of some names, and how many more there are."""
    more = f", and {len(names) - MAX_NAMES} more" if len(names) > MAX_NAMES else ""
    return ", ".join(names[:MAX_NAMES]) + more


def _row(finding: SetFinding) -> list[object]:
    example = str(finding.examples[0]) if finding.examples else ""
    lost_cells = [finding.count, finding.only] if finding.check.drops else ["", ""]
    return [finding.check.name, finding.count, f"{finding.share:.1%}", finding.of, *lost_cells, example[:MAX_CELL]]
