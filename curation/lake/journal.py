"""Every answer that was paid for, one fsynced line each: it is read before the network, so nothing is paid for twice."""

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

from dmforge.curation.accounts import COUNTS, token_counts
from dmforge.curation.atomic import disk_errors, make_folder, sync_folder, writing
from dmforge.curation.lake.whereabouts import Whereabouts
from dmforge.curation.workspace import Workspace
from dmforge.schemas.errors import InputError, LakeError
from dmforge.schemas.ids import ID_BYTES, Id, read, show

HEAD = re.compile(rb'\{"key": "(ask_[a-z2-7]{26})", "video": "(video_[a-z2-7]{26})", ')
"""Every line begins so: the index is made, and lines are forgotten, without parsing what was answered."""


MAIN = "main"
"""Who writes where nobody else does."""
Answer = dict[str, Any]
"""What a server said, as JSON."""
ANSWERS = pa.schema([
    ("request", pa.binary(ID_BYTES)), ("video", pa.binary(ID_BYTES)), ("model", pa.string()),
    ("input_tokens", pa.int64()), ("output_tokens", pa.int64()), ("fault", pa.string()),
])  # fmt: skip
"""Tokens are empty where nothing sensible was said of them, and the rest where a line is damaged: `fault` says which."""
PIECE = 10_000
"""Answers that become columns at once: those take a tenth of what they take in Python."""
PRIVATE = 0o600
"""Answers may be about material that others on the machine have no right to."""


class Journal:
    """The answers of one model. All writers' lines are read; one writer's file is appended to."""

    def __init__(self, workspace: Workspace, model: str, writer: str | None = None) -> None:
        self._model, self._folder = model, workspace.journal / _file_name(model)
        self._path = self._folder / f"{_file_name((workspace.writer or MAIN) if writer is None else writer)}.jsonl"
        self._waiting: list[tuple[str, bytes, asyncio.Future[None]]] = []
        self._asking: dict[str, asyncio.Future[None]] = {}
        self._flushing: asyncio.Task[None] | None = None
        with disk_errors(self._path):
            make_folder(self._folder)
            self._file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, PRIVATE)
            os.fchmod(self._file, PRIVATE)  # one that was copied here may be anybody's to read
            sync_folder(self._folder)
        _cut_torn_line(self._file)
        self._files = sorted(self._folder.glob("*.jsonl"))
        self._own = self._files.index(self._path)
        self._where = Whereabouts(
            (key, number, offset) for number, path in enumerate(self._files) for key, offset in _index(path)
        )

    def __len__(self) -> int:
        return len(self._where)

    def find(self, key: Id) -> Answer | None:
        """What was answered to this very question, if it was ever asked."""
        place = self._where.find(show("ask", key))
        if place is None:
            return None
        path, offset = self._files[place[0]], place[1]
        with path.open("rb") as file:
            file.seek(offset)
            try:
                return read_line(file.readline())["answer"]
            except ValueError as error:
                raise _damaged(path, offset, str(error)) from None

    async def answer(self, key: Id, video: Id, ask: Callable[[], Awaitable[Answer]]) -> Answer:
        """The answer to a question: from the journal if it was ever given, else by asking.

        It is returned once its line is on the disk: then, and only then, it is acknowledged. Who asks the same question while
        it is on its way waits for that answer.
        """
        known = self.find(key)
        if known is not None:
            return known
        name = show("ask", key)
        while name in self._asking:
            await asyncio.wait([self._asking[name]])
            known = self.find(key)
            if known is not None:
                return known
        self._asking[name] = asyncio.get_running_loop().create_future()
        try:
            answer = await ask()
            await self._record(name, video, answer)
        finally:
            self._asking.pop(name).set_result(None)
        return answer

    async def _record(self, name: str, video: Id, answer: Answer) -> None:
        told = {"key": name, "video": show("video", video), "model": self._model, "answer": answer}
        line = json.dumps(told, ensure_ascii=True) + "\n"
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((name, line.encode("ascii"), done))
        if self._flushing is None or self._flushing.done():
            self._flushing = asyncio.create_task(self._flush())
        await done

    def close(self) -> None:
        os.close(self._file)
        self._where.close()

    async def _flush(self) -> None:
        # one fsync for all that wait: a disk that takes 5 ms for each would otherwise bound us to 200 answers/s
        while self._waiting:
            batch, self._waiting = self._waiting, []
            start = os.fstat(self._file).st_size
            try:
                await asyncio.to_thread(self._append, start, b"".join(line for _, line, _ in batch))
                begins = itertools.accumulate((len(line) for _, line, _ in batch), initial=start)
                self._where.note((name, self._own, at) for (name, _, _), at in zip(batch, begins, strict=False))
            except (OSError, LakeError) as error:
                for _, _, done in batch:
                    if not done.done():
                        done.set_exception(error)
                continue
            for _, _, done in batch:
                if not done.done():  # its asker was interrupted; the answer is kept all the same
                    done.set_result(None)

    def _append(self, start: int, data: bytes) -> None:
        with disk_errors(self._path):
            try:
                written = 0
                while written < len(data):
                    written += os.pwrite(self._file, data[written:], start + written)
                os.fsync(self._file)
            except OSError:
                os.ftruncate(self._file, start)  # half a line on a full disk must not join the next one
                raise


def answers(workspace: Workspace) -> pa.Table:
    """Every answer that was ever given, with what it cost: for audits."""
    rows, pieces = _rows(workspace), [ANSWERS.empty_table()]
    while some := list(itertools.islice(rows, PIECE)):
        pieces.append(pa.table(dict(zip(ANSWERS.names, zip(*some, strict=True), strict=True)), ANSWERS))
    return pa.concat_tables(pieces)


AnswerRow = tuple[Id | None, Id | None, str, int | None, int | None, str | None]
"""The columns of `ANSWERS`."""


def _rows(workspace: Workspace) -> Iterator[AnswerRow]:
    """Every line. A damaged one is a row that says so: it was paid for as well, and stops nobody's audit of the others."""
    for path in sorted(workspace.journal.glob("*/*.jsonl")):
        with path.open("rb") as lines:
            for number, line in enumerate(lines, start=1):
                if line.endswith(b"\n"):
                    try:
                        *said, fault = _row(line, path.parent.name)
                    except (ValueError, InputError) as error:
                        said, fault = [None, None, path.parent.name, None, None], str(error)
                    place = f"{path.relative_to(workspace.root)}, line {number}"
                    yield *said, fault and f"{place}: {fault}"  # pyright: ignore[reportReturnType] (a row, less its fault)


def _row(line: bytes, model: str) -> AnswerRow:
    head, content = HEAD.match(line), read_line(line)
    if head is None:
        raise ValueError("it doesn't begin with a key")
    usage = content["answer"].get("usage")
    counts = token_counts(usage)
    fault = f"its usage counts no tokens: {json.dumps(usage)[:100]}" if usage and len(counts) < len(COUNTS) else None
    ids = read(head[1].decode())[1], _video(head[2].decode())
    return *ids, content.get("model", model), counts.get(COUNTS[0]), counts.get(COUNTS[1]), fault


@lru_cache(PIECE)  # answers about one video mostly stand near each other
def _video(name: str) -> Id:
    return read(name)[1]


def forget_answers(workspace: Workspace, videos: Collection[Id]) -> int:
    """Remove the lines about some videos from every writer's file."""
    names = {show("video", video).encode() for video in videos}
    return sum(_without(path, names) for path in sorted(workspace.journal.glob("*/*.jsonl")))


def take_over_answers(workspace: Workspace, other: Workspace, hidden: Collection[Id]) -> int:
    """Answers of another workspace that were not given here, but for those about some videos; how many there were."""
    names = {show("video", video).encode() for video in hidden}
    taken = 0
    for folder in sorted(path for path in other.journal.glob("*") if path.is_dir()):
        ours = workspace.journal / folder.name
        known = {key for path in sorted(ours.glob("*.jsonl")) for key, _ in _index(path)}
        fresh: list[bytes] = []
        for path in sorted(folder.glob("*.jsonl")):
            lines = path.read_bytes()
            for key, offset in _index(path):
                line = lines[offset : lines.index(b"\n", offset) + 1]
                head = HEAD.match(line)
                if key not in known and head is not None and head[2] not in names:
                    known.add(key)
                    fresh.append(line)
        if fresh:
            data = b"".join(fresh)
            with writing(ours / f"merged-{hashlib.sha256(data).hexdigest()[:16]}.jsonl", PRIVATE) as file:
                file.write(data)
            sync_folder(ours)
        taken += len(fresh)
    return taken


def _without(path: Path, names: Collection[bytes]) -> int:
    """Rewrite one file without the lines about these videos, if it has any; how many it had."""

    def is_about(line: bytes) -> bool:
        head = HEAD.match(line)
        return head is not None and head[2] in names

    with path.open("rb") as lines:
        removed = sum(map(is_about, lines))
        if removed:
            lines.seek(0)
            with writing(path, PRIVATE) as file:
                for line in itertools.filterfalse(is_about, lines):
                    file.write(line)
    return removed


def _index(path: Path) -> Iterator[tuple[str, int]]:
    offset = 0
    with path.open("rb") as file:
        for line in file:
            if line.endswith(b"\n"):  # else another writer is at it, or was killed: not acknowledged
                head = HEAD.match(line)
                if head is None:
                    raise _damaged(path, offset, "it doesn't begin with a key")
                yield head[1].decode(), offset
            offset += len(line)


def read_line(line: bytes) -> dict[str, Any]:
    """What a line says: `answer` is an object, `model` a text if it is there. A ValueError says why it can't be one of ours."""
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


def _damaged(path: Path, offset: int, why: str) -> LakeError:
    with path.open("rb") as file:
        number = 1 + sum(1 for _ in itertools.takewhile(lambda _: file.tell() <= offset, iter(file.readline, b"")))
    return LakeError(
        f"line {number} isn't one that was written here: {why}",
        where=str(path),
        mend="restore the file from a backup, or delete that one line: its question will be asked again",
    )


def _cut_torn_line(descriptor: int) -> None:
    """A kill can leave half a line at the end. It was never acknowledged: cut it, or the next line would grow onto it."""
    end = os.fstat(descriptor).st_size
    position = end
    while position > 0:
        start = max(0, position - 65_536)
        newline = os.pread(descriptor, position - start, start).rfind(b"\n")
        if newline >= 0:
            position = start + newline + 1
            break
        position = start
    if position < end:
        os.ftruncate(descriptor, position)


def _file_name(name: str) -> str:
    """A model's name as a folder's: `org/model` must not become two folders, nor `..` lead anywhere, nor be too long."""
    plain = re.sub(r"[^A-Za-z0-9_.-]|^\.+", "-", name) or "-"
    return plain if len(plain) <= 100 else f"{plain[:80]}-{hashlib.sha256(name.encode()).hexdigest()[:16]}"
