"""Lines of the journal about some videos: counted, removed, or copied from the journal of another workspace."""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from pathlib import Path

from dmforge.curation.io.atomic import write_bytes, writing
from dmforge.curation.lake.journal import HEAD, PRIVATE, places_in
from dmforge.curation.workspace_folder import WorkspaceFolder
from dmforge.schemas.ids import Id, show

REQUESTS, RESULTS = ".requests", ".results"
"""Suffixes of files on their way to a provider and from it: a kill leaves them, and they may show any video."""


def forget_answers(workspace: WorkspaceFolder, videos: Collection[Id]) -> int:
    """Remove the lines about some videos from every writer's file; how many there were."""
    for path in workspace.journal.glob("*/batches/*"):
        if path.suffix in (REQUESTS, RESULTS):
            path.unlink()
    names = {show("video", video).encode() for video in videos}
    return sum(_remove_lines(path, names) for path in sorted(workspace.journal.glob("*/*.jsonl")))


def count_answers(workspace: WorkspaceFolder, videos: Collection[Id]) -> int:
    """How many lines are about some videos."""
    names = {show("video", video).encode() for video in videos}
    return sum(_count_lines(path, names) for path in sorted(workspace.journal.glob("*/*.jsonl")))


def take_over_answers(workspace: WorkspaceFolder, other: WorkspaceFolder, hidden: Collection[Id]) -> int:
    """Copy answers of another workspace that are missing here, but for those about hidden videos; how many there were."""
    names = {show("video", video).encode() for video in hidden}
    answer_count = 0
    for folder in sorted(path for path in other.journal.glob("*") if path.is_dir()):
        own_folder = workspace.journal / folder.name
        known = {(place.key, place.limit) for path in sorted(own_folder.glob("*.jsonl")) for place in places_in(path)}
        new_lines: list[bytes] = []
        for path in sorted(folder.glob("*.jsonl")):
            lines = path.read_bytes()
            for place in places_in(path):
                line = lines[place.offset : lines.index(b"\n", place.offset) + 1]
                if (place.key, place.limit) not in known and not _is_about(line, names):
                    known.add((place.key, place.limit))
                    new_lines.append(line)
        if new_lines:
            data = b"".join(new_lines)
            write_bytes(own_folder / f"merged-{hashlib.sha256(data).hexdigest()[:16]}.jsonl", data, PRIVATE)
        answer_count += len(new_lines)
    return answer_count


def _remove_lines(path: Path, names: Collection[bytes]) -> int:
    """Remove the lines about these videos from one file; how many there were."""
    removed = _count_lines(path, names)
    if removed:
        with path.open("rb") as lines, writing(path, PRIVATE) as file:
            for line in lines:
                if not _is_about(line, names):
                    file.write(line)
    return removed


def _count_lines(path: Path, names: Collection[bytes]) -> int:
    with path.open("rb") as lines:
        return sum(_is_about(line, names) for line in lines)


def _is_about(line: bytes, names: Collection[bytes]) -> bool:
    head = HEAD.match(line)
    return head is not None and head[2] in names
