"""The batches that were submitted and not yet dealt with, one fsynced line for each step: a killed run submits nothing twice.

A batch is `prepared` before its file is uploaded, `submitted` once the provider has acknowledged it, and `done` when all
that came of it is in the journal.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from dmforge.curation.io import machine
from dmforge.curation.io.atomic import disk_errors, make_folder, sync_folder, write_bytes
from dmforge.curation.io.line_files import append_lines, cut_torn_line, is_on_disk
from dmforge.curation.lake.journal import PRIVATE
from dmforge.curation.workspace_folder import WorkspaceFolder
from dmforge.schemas.errors import InputError, LakeError
from dmforge.schemas.ids import Id, read, show

FORMAT = 1


@dataclass(frozen=True, slots=True)
class BatchedQuestion:
    """What is noted of a request in a batch."""

    video: Id
    limit: int
    """The most tokens of its reply."""
    size_bytes: int
    """Bytes of the whole request."""


@dataclass(frozen=True, slots=True)
class RecordedBatch:
    """A batch that isn't dealt with."""

    name: str
    """By which its provider can be asked for it."""
    questions: Mapping[str, BatchedQuestion]
    """By the keys of the requests."""
    id: str = ""
    """The provider's; empty where nobody noted that it was acknowledged."""
    file_id: str = ""
    """The provider's, of the file of requests."""


class RequestsOut:
    """The requests to a model that are out in batches, for whoever asks it, or in place of it, one by one."""

    def __init__(self, folder: Path, model: str) -> None:
        self._path, self._model = record_path(folder), model
        batches = _read(self._path) if self._path.exists() else {}
        self._keys = {key for batch in batches.values() for key in batch.questions}

    def __bool__(self) -> bool:
        return bool(self._keys)

    def refuse(self, key: str, where: str) -> None:
        """Refuse to ask what is out: it would be paid for twice."""
        if key in self._keys:
            message = (
                f"{len(self._keys)} requests to {self._model} are out in batches, this one too: it would be paid for twice"
            )
            hint = f"set batch = true and model = {self._model!r} until they have come; to give them up, delete {self._path}"
            raise InputError(message, where=where, hint=hint)


def questions_out(workspace: WorkspaceFolder) -> dict[str, list[BatchedQuestion]]:
    """What is out in batches, by the names of the journal's folders: those of models, without what no folder may be called."""
    questions_by_model: dict[str, list[BatchedQuestion]] = {}
    for folder in sorted(workspace.journal.glob("*")):
        batches = _read(record_path(folder)) if record_path(folder).exists() else {}
        questions = {key: question for batch in batches.values() for key, question in batch.questions.items()}
        if questions:
            questions_by_model[folder.name] = list(questions.values())
    return questions_by_model


def record_path(folder: Path) -> Path:
    """Where the record of a model's batches is, in the folder of its answers."""
    return folder / "batches" / "batches.jsonl"


class BatchRecord:
    """The file with the steps of one model's batches. What is done is no longer in it when it is opened the next time."""

    def __init__(self, path: Path) -> None:
        self._path = path
        with disk_errors(path):
            make_folder(path.parent)
            self.open_batches: Mapping[str, RecordedBatch] = _read(path) if path.exists() else {}
            head = [{"format": FORMAT}, *(line for batch in self.open_batches.values() for line in _lines(batch))]
            write_bytes(path, b"".join(map(_line, head)), PRIVATE)
            self._file = machine.current.open(path, os.O_RDWR | os.O_NOFOLLOW)
            sync_folder(path.parent)

    def prepared(self, batch: RecordedBatch) -> None:
        """Note a batch before anything of it is sent."""
        self._append(_lines(batch)[:1])

    def submitted(self, batch: RecordedBatch) -> None:
        """Note that the provider has acknowledged a batch."""
        self._append(_lines(batch)[1:])

    def done(self, batch: RecordedBatch) -> None:
        """Note that nothing of a batch is left to be dealt with."""
        self._append([{"batch": batch.name, "state": "done"}])

    def close(self) -> None:
        machine.current.close(self._file)

    def _append(self, lines: list[dict[str, Any]]) -> None:
        with disk_errors(self._path):
            append_lines(self._file, cut_torn_line(self._file), b"".join(map(_line, lines)))


def _read(path: Path) -> dict[str, RecordedBatch]:
    batches: dict[str, RecordedBatch] = {}
    *whole_lines, _ = path.read_bytes().split(b"\n")  # half a line was never acknowledged
    for number, line in enumerate(filter(is_on_disk, whole_lines), 1):
        try:
            fields = json.loads(line)
            if number == 1:
                if fields["format"] > FORMAT:
                    raise LakeError(
                        f"format {fields['format']} is newer than this dmforge", where=str(path), hint="update dmforge"
                    )
                continue
            name, state = fields["batch"], fields["state"]
            if state == "prepared":
                batches[name] = RecordedBatch(name, {key: _question(*row) for key, row in fields["questions"].items()})
            elif state == "submitted":
                batches[name] = replace(batches[name], id=fields["id"], file_id=fields["file"])
            else:
                batches.pop(name, None)
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError, InputError) as error:
            hint = "restore the file from a backup; or delete it: batches that are out will be submitted, and paid, again"
            raise LakeError(f"line {number} was not written by dmforge: {error}", where=str(path), hint=hint) from None
    return batches


def _question(video: str, limit: int, size_bytes: int) -> BatchedQuestion:
    return BatchedQuestion(read(video)[1], int(limit), int(size_bytes))


def _lines(batch: RecordedBatch) -> list[dict[str, Any]]:
    questions = {
        key: [show("video", question.video), question.limit, question.size_bytes] for key, question in batch.questions.items()
    }
    prepared = {"batch": batch.name, "state": "prepared", "questions": questions}
    submitted = {"batch": batch.name, "state": "submitted", "id": batch.id, "file": batch.file_id}
    return [prepared, submitted] if batch.id else [prepared]


def _line(fields: dict[str, Any]) -> bytes:
    return (json.dumps(fields) + "\n").encode("ascii")
