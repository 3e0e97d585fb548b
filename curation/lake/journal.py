"""The journal: every answer that was paid for, one fsynced line each. It is read before the network: nothing is paid twice."""

from __future__ import annotations

import asyncio
import errno
import hashlib
import itertools
import json
import os
import re
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from dmforge.curation.io import machine
from dmforge.curation.io.atomic import disk_errors, make_folder, sync_folder
from dmforge.curation.io.line_files import append_lines, cut_torn_line, end_of_lines, is_on_disk
from dmforge.curation.lake.journal_index import JournalIndex
from dmforge.curation.lake.journal_index_file import IndexFile, IndexUnfit, open_index, remove_index, write_index
from dmforge.curation.lake.journal_place import Place
from dmforge.curation.lake.journal_seals import check_fields, check_seal, sealed_line
from dmforge.curation.workspace_folder import WorkspaceFolder
from dmforge.schemas.errors import LakeError
from dmforge.schemas.ids import Id, show

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
UNINDEXED_BYTES = 1 << 14
UNINDEXED_SHARE = 4
"""An index is made anew where so much of a file, or a fourth of what it covers, has come since: to read that takes less than a
millisecond, or a fourth of what it took before."""
NO_MODES = (errno.EPERM, errno.ENOTSUP, errno.ENOSYS)
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
        self._files, self._suffix = sorted(self._folder.glob("*.jsonl")), workspace.writer_suffix
        if self._file is not None:
            for journal_path in self._files:
                keep_index(journal_path, self._suffix)
        indexes = ((file_number, open_index(journal_path)) for file_number, journal_path in enumerate(self._files))
        self._locations = self._indexed({file_number: index for file_number, index in indexes if index is not None})

    def _indexed(self, kept: Mapping[int, IndexFile]) -> JournalIndex:
        """The index of all files: of what indexes beside them don't cover, it is made now."""
        return JournalIndex(
            (
                replace(answer_place, file=file_number)
                for file_number, journal_path in enumerate(self._files)
                for answer_place in places_in(journal_path, kept[file_number].covered_bytes if file_number in kept else 0)
            ),
            kept,
        )

    def _open_to_append(self) -> int:
        with disk_errors(self._path):
            make_folder(self._folder)
            file_descriptor = machine.current.open(self._path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, PRIVATE)
            _make_private(file_descriptor)
            # up to the root: a process that was killed when it had made one of these folders has not synced its name
            for folder in (self._folder, self._folder.parent, self._folder.parent.parent):
                sync_folder(folder)
        cut_torn_line(file_descriptor)
        return file_descriptor

    def __len__(self) -> int:
        return len(self._locations)

    def find(self, key: Id) -> StoredAnswer | None:
        """The answer to a question that counts, None if it was never asked."""
        answer_place = self._place(show("ask", key))
        if answer_place is None:
            return None
        journal_path = self._files[answer_place.file]
        with journal_path.open("rb") as journal_file:
            journal_file.seek(answer_place.offset)
            try:
                return StoredAnswer(read_line(journal_file.readline())["answer"], answer_place.limit)
            except ValueError as error:
                raise _damaged_line(journal_path, answer_place.offset, str(error)) from None

    def _place(self, request_key: str) -> Place | None:
        """Where the line of a key stands that counts. An index that turns out not to fit is thrown away, and all is read."""
        try:
            answer_place = self._locations.find(request_key)
            if answer_place is None or self._begins_with(answer_place, request_key):
                return answer_place
        except IndexUnfit:
            pass
        self._locations.close()
        if self._file is not None:
            for journal_path in self._files:
                remove_index(journal_path)
        self._locations = self._indexed({})
        return self._locations.find(request_key)

    def _begins_with(self, answer_place: Place, request_key: str) -> bool:
        """Whether the line at a place is one of this key."""
        line_start = b'{"key": "' + request_key.encode("ascii", "replace") + b'"'
        with self._files[answer_place.file].open("rb") as journal_file:
            journal_file.seek(answer_place.offset)
            return journal_file.read(len(line_start)) == line_start

    @property
    def folder(self) -> Path:
        """Of this model's answers."""
        return self._folder

    def has(self, request_key: str) -> bool:
        """Whether a question was answered, by its key as it is printed."""
        return self._place(request_key) is not None

    async def keep(self, request_key: str, video: Id, answer: Answer, token_limit: int) -> None:
        """Record an answer that nobody waits for, unless the question has one."""
        if not self.has(request_key):
            await self._record(Place(request_key, token_limit, answer.get("finish") == CUT), video, answer)

    def limit_of(self, key: Id) -> int:
        """The most tokens that the answer which counts could have; 0 where there is none, or its line doesn't say."""
        answer_place = self._place(show("ask", key))
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
        journal_line = sealed_line({**line_head, "model": self._model, "answer": answer})
        on_disk: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._pending_lines.append((place, journal_line, on_disk))
        if self._flush_task is None or self._flush_task.done():
            self._flush_task = asyncio.create_task(self._flush())
        await on_disk

    def close(self) -> None:
        self._locations.close()
        if self._file is not None:
            machine.current.close(self._file)
            keep_index(self._path, self._suffix)

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


def has_answers(workspace: WorkspaceFolder, model: str) -> bool:
    """Whether the journal has any answer of a model."""
    return any(path.stat().st_size for path in (workspace.journal / _file_name(model)).glob("*.jsonl"))


def keep_index(journal_path: Path, suffix: str = "") -> None:
    """Make the index beside a file anew where it lacks many lines. A disk that refuses it stops nothing."""
    with suppress(LakeError), journal_path.open("rb") as journal_file:
        index = open_index(journal_path)
        covered_bytes = 0 if index is None else index.covered_bytes
        end_offset = end_of_lines(journal_file.fileno())
        if end_offset - covered_bytes > max(UNINDEXED_BYTES, covered_bytes // UNINDEXED_SHARE):
            known_places = iter(()) if index is None else index.places()
            further_places = places_in(journal_path, covered_bytes, end_offset)
            places = JournalIndex(itertools.chain(known_places, further_places))
            write_index(journal_path, end_offset, places.places(), suffix)
            places.close()
        if index is not None:
            index.close()


def places_in(journal_path: Path, start_offset: int = 0, end_offset: int | None = None) -> Iterator[Place]:
    """The places of the lines in a file, or in a piece of it."""
    line_offset = start_offset
    with journal_path.open("rb") as journal_file:
        journal_file.seek(start_offset)
        for journal_line in journal_file:
            if end_offset is not None and line_offset >= end_offset:
                return
            # else another writer is at it, or was killed, or the power went: not acknowledged
            if journal_line.endswith(b"\n") and is_on_disk(journal_line):
                try:
                    head_match = checked_head(journal_line)
                except ValueError as error:
                    raise _damaged_line(journal_path, line_offset, str(error)) from None
                yield Place(
                    head_match[1].decode(),
                    int(head_match[3]) if head_match[3] else None,
                    bool(head_match[4]),
                    offset=line_offset,
                )
            line_offset += len(journal_line)


def checked_head(line: bytes) -> re.Match[bytes]:
    """How a line begins, and that it is as it was written; a ValueError says why a line is none."""
    head_match = line_head(line)
    check_seal(line)
    return head_match


def line_head(line: bytes) -> re.Match[bytes]:
    """How a line begins, whether or not it is as it was written."""
    head_match = HEAD.match(line)
    if head_match is None:
        raise ValueError("it doesn't begin with a key")
    return head_match


def read_line(line: bytes) -> dict[str, Any]:
    """The content of a line: `answer` is an object, `model` a text if it is there. A ValueError says why a line is none."""
    is_sealed = check_seal(line)
    try:
        answer_record = json.loads(line)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    if not isinstance(answer_record, dict) or not isinstance(answer_record.get("answer"), dict):
        raise ValueError("it holds no answer")
    if not isinstance(answer_record.get("model", ""), str):
        raise ValueError("its model is no text")
    check_fields(answer_record, is_sealed=is_sealed)
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
        hint="restore the file from a backup; or `dmforge verify -w WS --repair` sets the line aside, and its question may be "
        "asked again",
    )


def _make_private(file_descriptor: int) -> None:
    """Let nobody else read a file: one that was copied here may be anybody's to read. On file systems without modes, such as
    FAT and some mounts of object stores, who may read it is for the mount to say."""
    try:
        os.fchmod(file_descriptor, PRIVATE)
    except OSError as error:
        if error.errno not in NO_MODES or os.fstat(file_descriptor).st_uid != os.geteuid():
            raise


def _file_name(model_name: str) -> str:
    """A name that is safe for a file or a folder: `org/model` must not become two folders, nor `..` lead anywhere."""
    safe_name = re.sub(r"[^A-Za-z0-9_.-]|^\.+", "-", model_name) or "-"
    return safe_name if len(safe_name) <= 100 else f"{safe_name[:80]}-{hashlib.sha256(model_name.encode()).hexdigest()[:16]}"
