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
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import pyarrow as pa

from dmforge.curation.contract.budget import COUNTS, token_counts
from dmforge.curation.io.atomic import disk_errors, make_folder, sync_folder
from dmforge.curation.io.batching import batched
from dmforge.curation.io.line_files import append_lines, cut_torn_line
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
            replace(place, file=number) for number, path in enumerate(self._files) for place in places_in(path)
        )

    def _open_to_append(self) -> int:
        with disk_errors(self._path):
            make_folder(self._folder)
            file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, PRIVATE)
            os.fchmod(file, PRIVATE)  # one that was copied here may be anybody's to read
            sync_folder(self._folder)
        cut_torn_line(file)
        return file

    def __len__(self) -> int:
        return len(self._locations)

    def find(self, key: Id) -> StoredAnswer | None:
        """The answer to a question that counts, None if it was never asked."""
        place = self._locations.find(show("ask", key))
        if place is None:
            return None
        path = self._files[place.file]
        with path.open("rb") as file:
            file.seek(place.offset)
            try:
                return StoredAnswer(read_line(file.readline())["answer"], place.limit)
            except ValueError as error:
                raise _damaged_line(path, place.offset, str(error)) from None

    @property
    def folder(self) -> Path:
        """Of this model's answers."""
        return self._folder

    def has(self, request_key: str) -> bool:
        """Whether a question was answered, by its key as it is printed."""
        return self._locations.find(request_key) is not None

    async def keep(self, request_key: str, video: Id, answer: Answer, limit: int) -> None:
        """Record an answer that nobody waits for, unless the question has one."""
        if not self.has(request_key):
            await self._record(Place(request_key, limit, answer.get("finish") == CUT), video, answer)

    def limit_of(self, key: Id) -> int:
        """The most tokens that the answer which counts could have; 0 where there is none, or its line doesn't say."""
        place = self._locations.find(show("ask", key))
        return 0 if place is None else place.limit or 0

    @property
    def has_lines_of_format_1(self) -> bool:
        """Whether some lines don't say the limit of their answers: they are of journals of format 1."""
        return self._locations.has_unlimited

    async def answer(self, key: Id, video: Id, ask: Callable[[], Awaitable[Answer]], limit: int | None = None) -> Answer:
        """The answer to a question, of at most `limit` tokens: from the journal if it is there, else from `ask`. One that was
        cut at a smaller limit is asked for again.

        It is returned once its line is on the disk: then, and only then, it is acknowledged. A second caller with the same
        question waits for the first one's answer.
        """
        request_key = show("ask", key)
        while True:
            stored = self.find(key)
            if stored is not None and not (limit and stored.is_cut and (stored.limit or 0) < limit):
                return stored.answer
            if request_key not in self._in_flight:
                break
            await asyncio.wait([self._in_flight[request_key]])
        self._in_flight[request_key] = asyncio.get_running_loop().create_future()
        try:
            answer = await ask()
            await self._record(Place(request_key, limit, limit is not None and answer.get("finish") == CUT), video, answer)
        finally:
            self._in_flight.pop(request_key).set_result(None)
        return answer

    async def _record(self, place: Place, video: Id, answer: Answer) -> None:
        head: dict[str, Any] = {"key": place.key, "video": show("video", video)}
        if place.limit is not None:
            head |= {"limit": place.limit} | ({"cut": True} if place.is_cut else {})
        line = json.dumps({**head, "model": self._model, "answer": answer}, ensure_ascii=True) + "\n"
        on_disk: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._pending_lines.append((place, line.encode("ascii"), on_disk))
        if self._flush_task is None or self._flush_task.done():
            self._flush_task = asyncio.create_task(self._flush())
        await on_disk

    def close(self) -> None:
        if self._file is not None:
            os.close(self._file)
        self._locations.close()

    async def _flush(self) -> None:
        # one fsync for all that wait: a disk that takes 5 ms for each would otherwise bound us to 200 answers/s
        file, file_number = self._file, self._files.index(self._path)
        assert file is not None, "a journal that is only read records nothing"
        while self._pending_lines:
            batch, self._pending_lines = self._pending_lines, []
            start_offset = os.fstat(file).st_size
            try:
                await asyncio.to_thread(self._append, file, start_offset, b"".join(line for _, line, _ in batch))
                offsets = itertools.accumulate((len(line) for _, line, _ in batch), initial=start_offset)
                self._locations.note(
                    replace(place, file=file_number, offset=offset)
                    for (place, _, _), offset in zip(batch, offsets, strict=False)
                )
            except (OSError, LakeError) as error:
                for _, _, on_disk in batch:
                    if not on_disk.done():
                        on_disk.set_exception(error)
                continue
            for _, _, on_disk in batch:
                if not on_disk.done():  # its asker was interrupted; the answer is kept all the same
                    on_disk.set_result(None)

    def _append(self, file: int, start_offset: int, data: bytes) -> None:
        with disk_errors(self._path):
            append_lines(file, start_offset, data)


def answers(workspace: WorkspaceFolder) -> pa.Table:
    """Every answer in the journal with its token counts, for audits."""
    rows, tables = _answer_rows(workspace), [ANSWERS.empty_table()]
    for batch in batched(rows, BATCH_ROWS):
        tables.append(pa.table(dict(zip(ANSWERS.names, zip(*batch, strict=True), strict=True)), ANSWERS))
    return pa.concat_tables(tables)


def answered_tokens(workspace: WorkspaceFolder) -> dict[tuple[str, bool], Counter[str]]:
    """By model, and by whether they came in batches, the tokens of answers in the journal, as far as they are known: the sums
    alone, in a third of the time."""
    sums: dict[tuple[str, bool], Counter[str]] = {}
    for path in sorted(workspace.journal.glob("*/*.jsonl")):
        with path.open("rb") as lines:
            for line in lines:
                with suppress(ValueError):  # a damaged line, or half of one
                    content = read_line(line)
                    key = content.get("model", path.parent.name), _is_batched(content)
                    sums.setdefault(key, Counter()).update(token_counts(content["answer"].get("usage")))
    return sums


AnswerRow = tuple[Id | None, Id | None, str, int | None, int | None, bool, str | None]
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
                        values, fault = [None, None, path.parent.name, None, None, False], str(error)
                    location = f"{path.relative_to(workspace.root)}, line {number}"
                    yield *values, fault and f"{location}: {fault}"  # pyright: ignore[reportReturnType] (a row, less its fault)


def _is_batched(content: dict[str, Any]) -> bool:
    return content["answer"].get("batched") is True


def _answer_row(line: bytes, model: str) -> AnswerRow:
    head, content = HEAD.match(line), read_line(line)
    if head is None:
        raise ValueError("it doesn't begin with a key")
    usage = content["answer"].get("usage")
    counts = token_counts(usage)
    fault = f"its usage counts no tokens: {json.dumps(usage)[:100]}" if usage and len(counts) < len(COUNTS) else None
    ids = read(head[1].decode())[1], _video_id(head[2].decode())
    return *ids, content.get("model", model), counts.get(COUNTS[0]), counts.get(COUNTS[1]), _is_batched(content), fault


@lru_cache(BATCH_ROWS)  # answers about one video mostly stand near each other
def _video_id(name: str) -> Id:
    return read(name)[1]


def places_in(path: Path) -> Iterator[Place]:
    """The places of the lines in a file."""
    offset = 0
    with path.open("rb") as file:
        for line in file:
            if line.endswith(b"\n"):  # else another writer is at it, or was killed: not acknowledged
                head = HEAD.match(line)
                if head is None:
                    raise _damaged_line(path, offset, "it doesn't begin with a key")
                yield Place(head[1].decode(), int(head[3]) if head[3] else None, bool(head[4]), offset=offset)
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
