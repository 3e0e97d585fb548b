"""Requests that were gathered for a batch, in a file: with their frames they are large."""

from __future__ import annotations

import os
from pathlib import Path

from dmforge.curation.io import machine
from dmforge.curation.io.atomic import disk_errors, make_folder
from dmforge.curation.lake.journal import PRIVATE
from dmforge.curation.lake.journal_lines import REQUESTS
from dmforge.generators.teacher.batch_record import BatchedQuestion


class RequestSpool:
    """The file of requests that the next batch is made of."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / f"{machine.current.random_hex(8)}{REQUESTS}"
        with disk_errors(self.path):
            make_folder(folder)
            self._file = os.fdopen(machine.current.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, PRIVATE), "wb")
        self.questions: dict[str, BatchedQuestion] = {}
        """By the keys of the requests."""
        self.size_bytes = 0

    def add(self, key: str, question: BatchedQuestion, line: bytes) -> None:
        with disk_errors(self.path):
            self._file.write(line)
        self.questions[key] = question
        self.size_bytes += len(line)

    def close(self) -> None:
        with disk_errors(self.path):
            self._file.close()
