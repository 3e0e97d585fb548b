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
            (key, number, offset) for number, path in enumerate(self._files) for key, offset in _line_offsets(path)
        )

    def __len__(self) -> int:
        return len(self._locations)

    def find(self, key: Id) -> Answer | None:
        """The stored answer to a question, None if it was never asked."""
        location = self._locations.find(show("ask", key))
        if location is None:
            return None
        path, offset = self._files[location[0]], location[1]
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
        record = {"key": request_key, "video": show("video", video), "model": self._model, "answer": answer}
        line = json.dumps(record, ensure_ascii=True) + "\n"
        on_disk: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._pending_lines.append((request_key, line.encode("ascii"), on_disk))
        if self._flush_task is None or self._flush_task.done():
            self._flush_task = asyncio.create_task(self._flush())
        await on_disk

    def close(self) -> None:
        os.close(self._file)
        self._locations.close()

    async def _flush(self) -> None:
        # one fsync for all that wait: a disk that takes 5 ms for each would otherwise bound us to 200 answers/s
        while self._pending_lines:
            batch, self._pending_lines = self._pending_lines, []
            start_offset = os.fstat(self._file).st_size
            try:
                await asyncio.to_thread(self._append, start_offset, b"".join(line for _, line, _ in batch))
                offsets = itertools.accumulate((len(line) for _, line, _ in batch), initial=start_offset)
                self._locations.note(
                    (request_key, self._own_file_number, offset)
                    for (request_key, _, _), offset in zip(batch, offsets, strict=False)
                )
            except (OSError, LakeError) as error:
                for _, _, on_disk in batch:
                    if not on_disk.done():
                        on_disk.set_exception(error)
                continue
            for _, _, on_disk in batch:
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
        with path.open("rb") as lines:
            for number, line in enumerate(lines, start=1):
                if line.endswith(b"\n"):
                    try:
                        *values, fault = _answer_row(line, path.parent.name)
                    except (ValueError, InputError) as error:
                        values, fault = [None, None, path.parent.name, None, None], str(error)
                    location = f"{path.relative_to(workspace.root)}, line {number}"
                    yield *values, fault and f"{location}: {fault}"  # pyright: ignore[reportReturnType] (a row, less its fault)


def _answer_row(line: bytes, model: str) -> AnswerRow:
    head, content = HEAD.match(line), read_line(line)
    if head is None:
        raise ValueError("it doesn't begin with a key")
    usage = content["answer"].get("usage")
    counts = token_counts(usage)
    fault = f"its usage counts no tokens: {json.dumps(usage)[:100]}" if usage and len(counts) < len(COUNTS) else None
    ids = read(head[1].decode())[1], _video_id(head[2].decode())
    return *ids, content.get("model", model), counts.get(COUNTS[0]), counts.get(COUNTS[1]), fault


@lru_cache(BATCH_ROWS)  # answers about one video mostly stand near each other
def _video_id(name: str) -> Id:
    return read(name)[1]


def forget_answers(workspace: WorkspaceFolder, videos: Collection[Id]) -> int:
    """Remove the lines about some videos from every writer's file; how many there were."""
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
        known_keys = {key for path in sorted(own_folder.glob("*.jsonl")) for key, _ in _line_offsets(path)}
        new_lines: list[bytes] = []
        for path in sorted(folder.glob("*.jsonl")):
            lines = path.read_bytes()
            for key, offset in _line_offsets(path):
                line = lines[offset : lines.index(b"\n", offset) + 1]
                head = HEAD.match(line)
                if key not in known_keys and head is not None and head[2] not in names:
                    known_keys.add(key)
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


def _line_offsets(path: Path) -> Iterator[tuple[str, int]]:
    offset = 0
    with path.open("rb") as file:
        for line in file:
            if line.endswith(b"\n"):  # else another writer is at it, or was killed: not acknowledged
                head = HEAD.match(line)
                if head is None:
                    raise _damaged_line(path, offset, "it doesn't begin with a key")
                yield head[1].decode(), offset
            offset += len(line)


def read_line(line: bytes) -> dict[str, Any]:
    """The content of a line: `answer` is an object, `model` a text if it is there. A ValueError says why a line is none."""
    try:
        content = json.loads(line)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    if not isinstance(content, dict) or not isinstance(content.get("answer"), dict):
        raise ValueError("it holds no answer")
    if not isinstance(content.get("model", ""), str):
        raise ValueError("its model is no text")
    content.get("model", "").encode()  # half a character could be stored nowhere
    return content


def _damaged_line(path: Path, offset: int, why: str) -> LakeError:
    with path.open("rb") as file:
        number = 1 + sum(1 for _ in itertools.takewhile(lambda _: file.tell() <= offset, iter(file.readline, b"")))
    return LakeError(
        f"line {number} was not written by a journal: {why}",
        where=str(path),
        hint="restore the file from a backup, or delete that one line: its question will be asked again",
    )


def _file_name(name: str) -> str:
    """A name that is safe for a file or a folder: `org/model` must not become two folders, nor `..` lead anywhere."""
    plain = re.sub(r"[^A-Za-z0-9_.-]|^\.+", "-", name) or "-"
    return plain if len(plain) <= 100 else f"{plain[:80]}-{hashlib.sha256(name.encode()).hexdigest()[:16]}"
