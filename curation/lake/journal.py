"""The journal: every answer that was paid for, one fsynced line each. It is read before the network: nothing is paid twice."""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import json
import os
import re
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from dataclasses import astuple, dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import pyarrow as pa

from dmforge.curation.contract.budget import COUNTS, token_counts
from dmforge.curation.io import machine
from dmforge.curation.io.atomic import disk_errors, make_folder, sync_folder
from dmforge.curation.io.batching import batched
from dmforge.curation.io.line_files import append_lines, cut_torn_line, is_on_disk
from dmforge.curation.lake.asked import Asked, read_asked
from dmforge.curation.lake.journal_index import JournalIndex, Place
from dmforge.curation.workspace_folder import WorkspaceFolder
from dmforge.schemas.errors import InputError, LakeError
from dmforge.schemas.ids import ID_BYTES, Id, read, show

HEAD = re.compile(
    rb'\{"key": "(ask_[a-z2-7]{26})", "video": "(video_[a-z2-7]{26})", (?:"limit": ([0-9]{1,18}), )?(?:"cut": (true), )?'
)
"""How every line begins: the index is made, and lines are removed, without parsing the answers. `limit`: the most tokens that
the answer could have; `cut`: it was cut off there. Lines of journals of format 1 have neither."""

MAIN = "main"
"""The writer's name where there is only one."""
Answer = dict[str, Any]
"""The response of a server, as JSON."""
CUT = "length"
"""The `finish` of an answer that was cut off at its limit."""
ANSWERS = pa.schema([
    ("request", pa.binary(ID_BYTES)), ("video", pa.binary(ID_BYTES)), ("model", pa.string()),
    ("input_tokens", pa.int64()), ("output_tokens", pa.int64()), ("batched", pa.bool_()),
    ("stage", pa.string()), ("prompt", pa.string()), ("prompt_sha256", pa.string()), ("attempt", pa.int64()),
    ("fault", pa.string()),
])  # fmt: skip
"""Token counts are null where the server gave none that make sense, the rest where a line is damaged: `fault` says which."""
BATCH_ROWS = 10_000
"""How many answers become columns at once: they take a tenth of the memory that they take in Python."""
PRIVATE = 0o600
"""Answers may be about material that others on the machine have no right to."""


@dataclass(frozen=True, slots=True)
class StoredAnswer:
    """An answer in the journal."""

    answer: Answer
    limit: int | None
    """The most tokens that it could have; None where its line doesn't say."""

    @property
    def is_cut(self) -> bool:
        return self.answer.get("finish") == CUT


class Journal:
    """The answers of one model. All writers' lines are read; one writer's file is appended to.

    A question has one answer that counts: the first that isn't cut off, of those that were asked with the smallest limit; else
    the one that was asked with the largest. So an answer that was cut gives way to one that was asked with more, to no other.
    """

    def __init__(self, workspace: WorkspaceFolder, model: str, writer: str | None = None, *, read_only: bool = False) -> None:
        self._model, self._folder = model, workspace.journal / _file_name(model)
        self._path = self._folder / f"{_file_name((workspace.writer or MAIN) if writer is None else writer)}.jsonl"
        self._pending_lines: list[tuple[Place, bytes, asyncio.Future[None]]] = []
        self._in_flight: dict[str, asyncio.Future[None]] = {}
        self._flush_task: asyncio.Task[None] | None = None
        self._file = None if read_only else self._open_to_append()
        self._files = sorted(self._folder.glob("*.jsonl"))
        self._locations = JournalIndex(
            replace(answer_place, file=file_number)
            for file_number, journal_path in enumerate(self._files)
            for answer_place in places_in(journal_path)
        )

    def _open_to_append(self) -> int:
        with disk_errors(self._path):
            make_folder(self._folder)
            file_descriptor = machine.current.open(self._path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, PRIVATE)
            os.fchmod(file_descriptor, PRIVATE)  # one that was copied here may be anybody's to read
            # up to the root: a process that was killed when it had made one of these folders has not synced its name
            for folder in (self._folder, self._folder.parent, self._folder.parent.parent):
                sync_folder(folder)
        cut_torn_line(file_descriptor)
        return file_descriptor

    def __len__(self) -> int:
        return len(self._locations)

    def find(self, key: Id) -> StoredAnswer | None:
        """The answer to a question that counts, None if it was never asked."""
        answer_place = self._locations.find(show("ask", key))
        if answer_place is None:
            return None
        journal_path = self._files[answer_place.file]
        with journal_path.open("rb") as journal_file:
            journal_file.seek(answer_place.offset)
            try:
                return StoredAnswer(read_line(journal_file.readline())["answer"], answer_place.limit)
            except ValueError as error:
                raise _damaged_line(journal_path, answer_place.offset, str(error)) from None

    @property
    def folder(self) -> Path:
        """Of this model's answers."""
        return self._folder

    def has(self, request_key: str) -> bool:
        """Whether a question was answered, by its key as it is printed."""
        return self._locations.find(request_key) is not None

    async def keep(self, request_key: str, video: Id, answer: Answer, token_limit: int) -> None:
        """Record an answer that nobody waits for, unless the question has one."""
        if not self.has(request_key):
            await self._record(Place(request_key, token_limit, answer.get("finish") == CUT), video, answer)

    def limit_of(self, key: Id) -> int:
        """The most tokens that the answer which counts could have; 0 where there is none, or its line doesn't say."""
        answer_place = self._locations.find(show("ask", key))
        return 0 if answer_place is None else answer_place.limit or 0

    @property
    def has_lines_of_format_1(self) -> bool:
        """Whether some lines don't say the limit of their answers: they are of journals of format 1."""
        return self._locations.has_unlimited

    async def answer(self, key: Id, video: Id, ask: Callable[[], Awaitable[Answer]], token_limit: int | None = None) -> Answer:
        """The answer to a question, of at most `token_limit` tokens: from the journal if it is there, else from `ask`. One
        that was cut at a smaller limit is asked for again.

        It is returned once its line is on the disk: then, and only then, it is acknowledged. A second caller with the same
        question waits for the first one's answer.
        """
        request_key = show("ask", key)
        while True:
            stored_answer = self.find(key)
            if stored_answer is not None and not (
                token_limit and stored_answer.is_cut and (stored_answer.limit or 0) < token_limit
            ):
                return stored_answer.answer
            if request_key not in self._in_flight:
                break
            await asyncio.wait([self._in_flight[request_key]])
        self._in_flight[request_key] = asyncio.get_running_loop().create_future()
        try:
            answer = await ask()
            await self._record(
                Place(request_key, token_limit, token_limit is not None and answer.get("finish") == CUT), video, answer
            )
        finally:
            self._in_flight.pop(request_key).set_result(None)
        return answer

    async def _record(self, place: Place, video: Id, answer: Answer) -> None:
        line_head: dict[str, Any] = {"key": place.key, "video": show("video", video)}
        if place.limit is not None:
            line_head |= {"limit": place.limit} | ({"cut": True} if place.is_cut else {})
        journal_line = json.dumps({**line_head, "model": self._model, "answer": answer}, ensure_ascii=True) + "\n"
        on_disk: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._pending_lines.append((place, journal_line.encode("ascii"), on_disk))
        if self._flush_task is None or self._flush_task.done():
            self._flush_task = asyncio.create_task(self._flush())
        await on_disk

    def close(self) -> None:
        if self._file is not None:
            machine.current.close(self._file)
        self._locations.close()

    async def _flush(self) -> None:
        # one fsync for all that wait: a disk that takes 5 ms for each would otherwise bound us to 200 answers/s
        file_descriptor, file_number = self._file, self._files.index(self._path)
        assert file_descriptor is not None, "a journal that is only read records nothing"
        while self._pending_lines:
            pending_lines, self._pending_lines = self._pending_lines, []
            start_offset = os.fstat(file_descriptor).st_size
            try:
                await asyncio.to_thread(
                    self._append, file_descriptor, start_offset, b"".join(journal_line for _, journal_line, _ in pending_lines)
                )
                line_offsets = itertools.accumulate(
                    (len(journal_line) for _, journal_line, _ in pending_lines), initial=start_offset
                )
                self._locations.note(
                    replace(line_place, file=file_number, offset=line_offset)
                    for (line_place, _, _), line_offset in zip(pending_lines, line_offsets, strict=False)
                )
            except (OSError, LakeError) as error:
                for _, _, on_disk in pending_lines:
                    if not on_disk.done():
                        on_disk.set_exception(error)
                continue
            for _, _, on_disk in pending_lines:
                if not on_disk.done():  # its asker was interrupted; the answer is kept all the same
                    on_disk.set_result(None)

    def _append(self, file_descriptor: int, start_offset: int, line_bytes: bytes) -> None:
        with disk_errors(self._path):
            append_lines(file_descriptor, start_offset, line_bytes)


def answers(workspace: WorkspaceFolder) -> pa.Table:
    """Every answer in the journal with its token counts, for audits."""
    answer_rows, answer_tables = _answer_rows(workspace), [ANSWERS.empty_table()]
    for row_batch in batched(answer_rows, BATCH_ROWS):
        answer_tables.append(pa.table(dict(zip(ANSWERS.names, zip(*row_batch, strict=True), strict=True)), ANSWERS))
    return pa.concat_tables(answer_tables)


def answered_tokens(workspace: WorkspaceFolder) -> dict[tuple[str, bool], Counter[str]]:
    """By model, and by whether they came in batches, the tokens of answers in the journal, as far as they are known: the sums
    alone, in a third of the time."""
    sums_by_model: dict[tuple[str, bool], Counter[str]] = {}
    for journal_path in sorted(workspace.journal.glob("*/*.jsonl")):
        with journal_path.open("rb") as journal_file:
            for journal_line in journal_file:
                with suppress(ValueError):  # a damaged line, or half of one
                    answer_record = read_line(journal_line)
                    model_and_batching = answer_record.get("model", journal_path.parent.name), _is_batched(answer_record)
                    sums_by_model.setdefault(model_and_batching, Counter()).update(
                        token_counts(answer_record["answer"].get("usage"))
                    )
    return sums_by_model


AskedRow = tuple[str | None, str | None, str | None, int | None]
AnswerRow = tuple[Id | None, Id | None, str, int | None, int | None, bool, *AskedRow, str | None]
"""The columns of `ANSWERS`."""


def _answer_rows(workspace: WorkspaceFolder) -> Iterator[AnswerRow]:
    """A row for every line. A damaged line is a row with a `fault`: it was paid for, too, and must not stop an audit."""
    for journal_path in sorted(workspace.journal.glob("*/*.jsonl")):
        with journal_path.open("rb") as journal_file:
            for line_number, journal_line in enumerate(journal_file, start=1):
                if journal_line.endswith(b"\n"):
                    try:
                        *row_values, usage_fault = _answer_row(journal_line, journal_path.parent.name)
                    except (ValueError, InputError) as error:
                        row_values, usage_fault = (
                            [None, None, journal_path.parent.name, None, None, False, *astuple(Asked())],
                            str(error),
                        )
                    line_location = f"{journal_path.relative_to(workspace.root)}, line {line_number}"
                    yield *row_values, usage_fault and f"{line_location}: {usage_fault}"  # pyright: ignore[reportReturnType] (a row, less its fault)


def _is_batched(answer_record: dict[str, Any]) -> bool:
    return answer_record["answer"].get("batched") is True


def _answer_row(journal_line: bytes, model: str) -> AnswerRow:
    head_match, answer_record = HEAD.match(journal_line), read_line(journal_line)
    if head_match is None:
        raise ValueError("it doesn't begin with a key")
    usage = answer_record["answer"].get("usage")
    count_by_name = token_counts(usage)
    usage_fault = (
        f"its usage counts no tokens: {json.dumps(usage)[:100]}" if usage and len(count_by_name) < len(COUNTS) else None
    )
    request_and_video = read(head_match[1].decode())[1], _video_id(head_match[2].decode())
    return (
        *request_and_video,
        answer_record.get("model", model),
        count_by_name.get(COUNTS[0]),
        count_by_name.get(COUNTS[1]),
        _is_batched(answer_record),
        *astuple(read_asked(answer_record["answer"])),
        usage_fault,
    )


@lru_cache(BATCH_ROWS)  # answers about one video mostly stand near each other
def _video_id(printed_id: str) -> Id:
    return read(printed_id)[1]


def places_in(journal_path: Path) -> Iterator[Place]:
    """The places of the lines in a file."""
    line_offset = 0
    with journal_path.open("rb") as journal_file:
        for journal_line in journal_file:
            # else another writer is at it, or was killed, or the power went: not acknowledged
            if journal_line.endswith(b"\n") and is_on_disk(journal_line):
                head_match = HEAD.match(journal_line)
                if head_match is None:
                    raise _damaged_line(journal_path, line_offset, "it doesn't begin with a key")
                yield Place(
                    head_match[1].decode(),
                    int(head_match[3]) if head_match[3] else None,
                    bool(head_match[4]),
                    offset=line_offset,
                )
            line_offset += len(journal_line)


def read_line(line: bytes) -> dict[str, Any]:
    """The content of a line: `answer` is an object, `model` a text if it is there. A ValueError says why a line is none."""
    try:
        answer_record = json.loads(line)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    if not isinstance(answer_record, dict) or not isinstance(answer_record.get("answer"), dict):
        raise ValueError("it holds no answer")
    if not isinstance(answer_record.get("model", ""), str):
        raise ValueError("its model is no text")
    answer_record.get("model", "").encode()  # half a character could be stored nowhere
    return answer_record


def _damaged_line(journal_path: Path, line_offset: int, damage_reason: str) -> LakeError:
    with journal_path.open("rb") as journal_file:
        line_number = 1 + sum(
            1 for _ in itertools.takewhile(lambda _: journal_file.tell() <= line_offset, iter(journal_file.readline, b""))
        )
    return LakeError(
        f"line {line_number} was not written by a journal: {damage_reason}",
        where=str(journal_path),
        hint="restore the file from a backup, or delete that one line: its question will be asked again",
    )


def _file_name(model_name: str) -> str:
    """A name that is safe for a file or a folder: `org/model` must not become two folders, nor `..` lead anywhere."""
    safe_name = re.sub(r"[^A-Za-z0-9_.-]|^\.+", "-", model_name) or "-"
    return safe_name if len(safe_name) <= 100 else f"{safe_name[:80]}-{hashlib.sha256(model_name.encode()).hexdigest()[:16]}"
