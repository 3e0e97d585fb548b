"""Lines of the journal about some videos: counted, removed, or copied from the journal of another workspace."""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from pathlib import Path

from dmforge.curation.io import machine
from dmforge.curation.io.atomic import write_bytes, writing
from dmforge.curation.io.line_files import is_on_disk
from dmforge.curation.lake.answer_columns import remove_columns
from dmforge.curation.lake.journal import HEAD, PRIVATE, places_in
from dmforge.curation.lake.journal_index_file import remove_index
from dmforge.curation.workspace_folder import WorkspaceFolder
from dmforge.schemas.ids import Id, show

REQUESTS, RESULTS = ".requests", ".results"
"""Suffixes of files on their way to a provider and from it: a kill leaves them, and they may show any video."""


def forget_answers(workspace: WorkspaceFolder, videos: Collection[Id]) -> int:
    """Remove the lines about some videos from every writer's file; how many there were."""
    for batch_path in workspace.journal.glob("*/batches/*"):
        if batch_path.suffix in (REQUESTS, RESULTS):
            machine.current.unlink(batch_path)
    video_names = {show("video", video).encode() for video in videos}
    return sum(_remove_lines(journal_path, video_names) for journal_path in sorted(workspace.journal.glob("*/*.jsonl")))


def count_answers(workspace: WorkspaceFolder, videos: Collection[Id]) -> int:
    """How many lines are about some videos."""
    video_names = {show("video", video).encode() for video in videos}
    return sum(_count_lines(journal_path, video_names) for journal_path in sorted(workspace.journal.glob("*/*.jsonl")))


def take_over_answers(workspace: WorkspaceFolder, source_workspace: WorkspaceFolder, hidden_videos: Collection[Id]) -> int:
    """Copy answers of another workspace that are missing here, but for those about hidden videos; how many there were."""
    hidden_names = {show("video", video).encode() for video in hidden_videos}
    answer_count = 0
    for model_folder in sorted(path for path in source_workspace.journal.glob("*") if path.is_dir()):
        own_folder = workspace.journal / model_folder.name
        known_answers = {(place.key, place.limit) for path in sorted(own_folder.glob("*.jsonl")) for place in places_in(path)}
        new_lines: list[bytes] = []
        for journal_path in sorted(model_folder.glob("*.jsonl")):
            journal_bytes = journal_path.read_bytes()
            for place in places_in(journal_path):
                journal_line = journal_bytes[place.offset : journal_bytes.index(b"\n", place.offset) + 1]
                if (place.key, place.limit) not in known_answers and not _is_about(journal_line, hidden_names):
                    known_answers.add((place.key, place.limit))
                    new_lines.append(journal_line)
        if new_lines:
            new_bytes = b"".join(new_lines)
            write_bytes(own_folder / f"merged-{hashlib.sha256(new_bytes).hexdigest()[:16]}.jsonl", new_bytes, PRIVATE)
        answer_count += len(new_lines)
    return answer_count


def _remove_lines(journal_path: Path, video_names: Collection[bytes]) -> int:
    """Remove the lines about these videos from one file; how many there were."""
    removed_count = _count_lines(journal_path, video_names)
    if removed_count:
        remove_index(journal_path)  # it would not fit, and may not outlast what it tells of
        remove_columns(journal_path)
        with journal_path.open("rb") as journal_file, writing(journal_path, PRIVATE) as rewritten_file:
            for journal_line in journal_file:
                if not _is_about(journal_line, video_names):
                    rewritten_file.write(journal_line)
    return removed_count


def _count_lines(journal_path: Path, video_names: Collection[bytes]) -> int:
    with journal_path.open("rb") as journal_file:
        return sum(_is_about(journal_line, video_names) for journal_line in journal_file)


def _is_about(journal_line: bytes, video_names: Collection[bytes]) -> bool:
    head_match = HEAD.match(journal_line)
    if not is_on_disk(journal_line):  # what is left of it may be about any video
        return True
    return head_match is not None and head_match[2] in video_names
