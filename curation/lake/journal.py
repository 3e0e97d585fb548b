"""The journal: every answer that was paid for, one fsynced line each. It is read before the network: nothing is paid twice."""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import json
import os
import re
from collections.abc import Awaitable, Callable, Collection, Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

import pyarrow as pa

from dmforge.curation.contract.budget import COUNTS, token_counts
from dmforge.curation.io.atomic import disk_errors, make_folder, sync_folder, write_bytes, writing
from dmforge.curation.io.batching import batched
from dmforge.curation.io.line_files import append_lines, cut_torn_line
from dmforge.curation.lake.journal_index import JournalIndex
from dmforge.curation.workspace_folder import WorkspaceFolder
from dmforge.schemas.errors import InputError, LakeError
from dmforge.schemas.ids import ID_BYTES, Id, read, show

HEAD = re.compile(rb'\{"key": "(ask_[a-z2-7]{26})", "video": "(video_[a-z2-7]{26})", ')
"""How every line begins: the index is made, and lines are removed, without parsing the answers."""


MAIN = "main"
"""The writer's name where there is only one."""
Answer = dict[str, Any]
"""The response of a server, as JSON."""
ANSWERS = pa.schema([
    ("request", pa.binary(ID_BYTES)), ("video", pa.binary(ID_BYTES)), ("model", pa.string()),
    ("input_tokens", pa.int64()), ("output_tokens", pa.int64()), ("fault", pa.string()),
])  # fmt: skip
"""Token counts are null where the server gave none that make sense, the rest where a line is damaged: `fault` says which."""
BATCH_ROWS = 10_000
"""How many answers become columns at once: they take a tenth of the memory that they take in Python."""
PRIVATE = 0o600
"""Answers may be about material that others on the machine have no right to."""


class Journal:
    """The answers of one model. All writers' lines are read; one writer's file is appended to."""

    def __init__(self, workspace: WorkspaceFolder, model: str, writer: str | None = None) -> None:
        self._model, self._folder = model, workspace.journal / _file_name(model)
        self._path = self._folder / f"{_file_name((workspace.writer or MAIN) if writer is None else writer)}.jsonl"
        self._pending_lines: list[tuple[str, bytes, asyncio.Future[None]]] = []
        self._in_flight: dict[str, asyncio.Future[None]] = {}
        self._flush_task: asyncio.Task[None] | None = None
        with disk_errors(self._path):
            make_folder(self._folder)
            self._file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, PRIVATE)
            os.fchmod(self._file, PRIVATE)  # one that was copied here may be anybody's to read
            sync_folder(self._folder)
        cut_torn_line(self._file)
        self._files = sorted(self._folder.glob("*.jsonl"))
        self._own_file_number = self._files.index(self._path)
        self._locations = JournalIndex(
            (key, file_number, offset) for file_number, path in enumerate(self._files) for key, offset in _line_offsets(path)
        )

    def __len__(self) -> int:
        return len(self._locations)

    def find(self, key: Id) -> Answer | None:
        """The stored answer to a question, None if it was never asked."""
        file_and_offset = self._locations.find(show("ask", key))
        if file_and_offset is None:
            return None
        path, offset = self._files[file_and_offset[0]], file_and_offset[1]
        with path.open("rb") as file:
            file.seek(offset)
            try:
                return read_line(file.readline())["answer"]
            except ValueError as error:
                raise _damaged_line(path, offset, str(error)) from None

    async def answer(self, key: Id, video: Id, ask: Callable[[], Awaitable[Answer]]) -> Answer:
        """The answer to a question: from the journal if it is there, else from `ask`.

        It is returned once its line is on the disk: then, and only then, it is acknowledged. A second caller with the same
        question waits for the first one's answer.
        """
        stored_answer = self.find(key)
        if stored_answer is not None:
            return stored_answer
        request_key = show("ask", key)
        while request_key in self._in_flight:
            await asyncio.wait([self._in_flight[request_key]])
            stored_answer = self.find(key)
            if stored_answer is not None:
                return stored_answer
        self._in_flight[request_key] = asyncio.get_running_loop().create_future()
        try:
            answer = await ask()
            await self._record(request_key, video, answer)
        finally:
            self._in_flight.pop(request_key).set_result(None)
        return answer

    async def _record(self, request_key: str, video: Id, answer: Answer) -> None:
        journal_entry = {"key": request_key, "video": show("video", video), "model": self._model, "answer": answer}
        journal_line = json.dumps(journal_entry, ensure_ascii=True) + "\n"
        on_disk: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._pending_lines.append((request_key, journal_line.encode("ascii"), on_disk))
        if self._flush_task is None or self._flush_task.done():
            self._flush_task = asyncio.create_task(self._flush())
        await on_disk

    def close(self) -> None:
        os.close(self._file)
        self._locations.close()

    async def _flush(self) -> None:
        # one fsync for all that wait: a disk that takes 5 ms for each would otherwise bound us to 200 answers/s
        while self._pending_lines:
            flushed_lines, self._pending_lines = self._pending_lines, []
            start_offset = os.fstat(self._file).st_size
            try:
                await asyncio.to_thread(
                    self._append, start_offset, b"".join(journal_line for _, journal_line, _ in flushed_lines)
                )
                offsets = itertools.accumulate(
                    (len(journal_line) for _, journal_line, _ in flushed_lines), initial=start_offset
                )
                self._locations.note(
                    (request_key, self._own_file_number, offset)
                    for (request_key, _, _), offset in zip(flushed_lines, offsets, strict=False)
                )
            except (OSError, LakeError) as error:
                for _, _, on_disk in flushed_lines:
                    if not on_disk.done():
                        on_disk.set_exception(error)
                continue
            for _, _, on_disk in flushed_lines:
                if not on_disk.done():  # its asker was interrupted; the answer is kept all the same
                    on_disk.set_result(None)

    def _append(self, start_offset: int, data: bytes) -> None:
        with disk_errors(self._path):
            append_lines(self._file, start_offset, data)


def answers(workspace: WorkspaceFolder) -> pa.Table:
    """Every answer in the journal with its token counts, for audits."""
    rows, tables = _answer_rows(workspace), [ANSWERS.empty_table()]
    for batch in batched(rows, BATCH_ROWS):
        tables.append(pa.table(dict(zip(ANSWERS.names, zip(*batch, strict=True), strict=True)), ANSWERS))
    return pa.concat_tables(tables)


AnswerRow = tuple[Id | None, Id | None, str, int | None, int | None, str | None]
"""The columns of `ANSWERS`."""


def _answer_rows(workspace: WorkspaceFolder) -> Iterator[AnswerRow]:
    """A row for every line. A damaged line is a row with a `fault`: it was paid for, too, and must not stop an audit."""
    for path in sorted(workspace.journal.glob("*/*.jsonl")):
        with path.open("rb") as journal_file:
            for line_number, line in enumerate(journal_file, start=1):
                if line.endswith(b"\n"):
                    try:
                        *answer_values, line_fault = _answer_row(line, path.parent.name)
                    except (ValueError, InputError) as error:
                        answer_values, line_fault = [None, None, path.parent.name, None, None], str(error)
                    location = f"{path.relative_to(workspace.root)}, line {line_number}"
                    yield *answer_values, line_fault and f"{location}: {line_fault}"  # pyright: ignore[reportReturnType] (a row, less its fault)


def _answer_row(line: bytes, model: str) -> AnswerRow:
    head_match, line_content = HEAD.match(line), read_line(line)
    if head_match is None:
        raise ValueError("it doesn't begin with a key")
    usage = line_content["answer"].get("usage")
    token_counts_by_name = token_counts(usage)
    usage_fault = (
        f"its usage counts no tokens: {json.dumps(usage)[:100]}" if usage and len(token_counts_by_name) < len(COUNTS) else None
    )
    request_and_video_ids = read(head_match[1].decode())[1], _video_id(head_match[2].decode())
    return (
        *request_and_video_ids,
        line_content.get("model", model),
        token_counts_by_name.get(COUNTS[0]),
        token_counts_by_name.get(COUNTS[1]),
        usage_fault,
    )


@lru_cache(BATCH_ROWS)  # answers about one video mostly stand near each other
def _video_id(name: str) -> Id:
    return read(name)[1]


def forget_answers(workspace: WorkspaceFolder, videos: Collection[Id]) -> int:
    """Remove the lines about some videos from every writer's file; how many there were."""
    printed_videos = {show("video", video).encode() for video in videos}
    return sum(_remove_lines(path, printed_videos) for path in sorted(workspace.journal.glob("*/*.jsonl")))


def count_answers(workspace: WorkspaceFolder, videos: Collection[Id]) -> int:
    """How many lines are about some videos."""
    printed_videos = {show("video", video).encode() for video in videos}
    return sum(_count_lines(path, printed_videos) for path in sorted(workspace.journal.glob("*/*.jsonl")))


def take_over_answers(workspace: WorkspaceFolder, other_workspace: WorkspaceFolder, hidden: Collection[Id]) -> int:
    """Copy answers of another workspace that are missing here, but for those about hidden videos; how many there were."""
    printed_hidden_videos = {show("video", video).encode() for video in hidden}
    answer_count = 0
    for model_folder in sorted(path for path in other_workspace.journal.glob("*") if path.is_dir()):
        own_folder = workspace.journal / model_folder.name
        known_keys = {key for own_path in sorted(own_folder.glob("*.jsonl")) for key, _ in _line_offsets(own_path)}
        new_lines: list[bytes] = []
        for other_path in sorted(model_folder.glob("*.jsonl")):
            other_lines = other_path.read_bytes()
            for key, offset in _line_offsets(other_path):
                other_line = other_lines[offset : other_lines.index(b"\n", offset) + 1]
                head_match = HEAD.match(other_line)
                if key not in known_keys and head_match is not None and head_match[2] not in printed_hidden_videos:
                    known_keys.add(key)
                    new_lines.append(other_line)
        if new_lines:
            appended_bytes = b"".join(new_lines)
            write_bytes(own_folder / f"merged-{hashlib.sha256(appended_bytes).hexdigest()[:16]}.jsonl", appended_bytes, PRIVATE)
        answer_count += len(new_lines)
    return answer_count


def _remove_lines(path: Path, printed_videos: Collection[bytes]) -> int:
    """Remove the lines about these videos from one file; how many there were."""
    removed_count = _count_lines(path, printed_videos)
    if removed_count:
        with path.open("rb") as old_file, writing(path, PRIVATE) as new_file:
            for line in old_file:
                if not _is_about(line, printed_videos):
                    new_file.write(line)
    return removed_count


def _count_lines(path: Path, printed_videos: Collection[bytes]) -> int:
    with path.open("rb") as journal_file:
        return sum(_is_about(line, printed_videos) for line in journal_file)


def _is_about(line: bytes, printed_videos: Collection[bytes]) -> bool:
    head_match = HEAD.match(line)
    return head_match is not None and head_match[2] in printed_videos


def _line_offsets(path: Path) -> Iterator[tuple[str, int]]:
    line_offset = 0
    with path.open("rb") as file:
        for line in file:
            if line.endswith(b"\n"):  # else another writer is at it, or was killed: not acknowledged
                head_match = HEAD.match(line)
                if head_match is None:
                    raise _damaged_line(path, line_offset, "it doesn't begin with a key")
                yield head_match[1].decode(), line_offset
            line_offset += len(line)


def read_line(line: bytes) -> dict[str, Any]:
    """The content of a line: `answer` is an object, `model` a text if it is there. A ValueError says why a line is none."""
    try:
        line_content = json.loads(line)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    if not isinstance(line_content, dict) or not isinstance(line_content.get("answer"), dict):
        raise ValueError("it holds no answer")
    if not isinstance(line_content.get("model", ""), str):
        raise ValueError("its model is no text")
    line_content.get("model", "").encode()  # half a character could be stored nowhere
    return line_content


def _damaged_line(path: Path, offset: int, why: str) -> LakeError:
    with path.open("rb") as file:
        line_number = 1 + sum(1 for _ in itertools.takewhile(lambda _: file.tell() <= offset, iter(file.readline, b"")))
    return LakeError(
        f"line {line_number} was not written by a journal: {why}",
        where=str(path),
        hint="restore the file from a backup, or delete that one line: its question will be asked again",
    )


def _file_name(name: str) -> str:
    """A name that is safe for a file or a folder: `org/model` must not become two folders, nor `..` lead anywhere."""
    safe_name = re.sub(r"[^A-Za-z0-9_.-]|^\.+", "-", name) or "-"
    return safe_name if len(safe_name) <= 100 else f"{safe_name[:80]}-{hashlib.sha256(name.encode()).hexdigest()[:16]}"
