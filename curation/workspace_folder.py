"""A workspace: the paths of its folders, and the locks by which one writer at a time holds it."""

from __future__ import annotations

import fcntl
import getpass
import json
import os
import socket
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from dmforge.curation.io import machine
from dmforge.curation.io.atomic import disk_errors
from dmforge.curation.io.locks import lock, lock_file
from dmforge.curation.workspace_format import read_format, stamp_format
from dmforge.schemas.errors import InputError, LakeError

PAUSE_S = 0.1
"""Between two attempts to hold a workspace."""


class WorkspaceHeld(InputError):
    """The workspace is locked by another process."""


@dataclass(frozen=True, slots=True)
class WorkspaceFolder:
    """The folders of a workspace."""

    root: Path
    writer: str = ""
    """Who writes here, where several do: each adds to a journal of its own, and leaves the others' unfinished files alone."""

    def __post_init__(self) -> None:
        # absolute, so that no later reader interprets `~x` or `file:x`
        object.__setattr__(self, "root", Path(os.path.abspath(self.root)))
        try:
            str(self.root).encode("utf-8")
        except UnicodeEncodeError:
            hint = "give the workspace a path in UTF-8"
            raise InputError(
                "the path is not UTF-8, and Parquet readers need that", where=ascii(str(self.root)), hint=hint
            ) from None

    @property
    def writer_suffix(self) -> str:
        """The suffix of this writer's unfinished files."""
        return f".{self.writer}" if self.writer else ""

    @property
    def recipe(self) -> Path:
        return self.root / "recipe.toml"

    @property
    def inputs(self) -> Path:
        """The folder of what people put in."""
        return self.root / "inputs"

    @property
    def forgotten(self) -> Path:
        return self.inputs / "forgotten.jsonl"

    @property
    def further_attempts(self) -> Path:
        return self.inputs / "further_attempts.jsonl"

    @property
    def lake(self) -> Path:
        return self.root / "lake"

    @property
    def commits(self) -> Path:
        return self.lake / "commits"

    @property
    def journal(self) -> Path:
        return self.root / "journal"

    @property
    def media(self) -> Path:
        return self.root / "media"

    @property
    def shards(self) -> Path:
        return self.root / "shards"

    @property
    def runs(self) -> Path:
        return self.root / "runs"

    @property
    def set_aside(self) -> Path:
        """What a repair took out of the way."""
        return self.root / "set-aside"

    def require(self) -> WorkspaceFolder:
        """Return this workspace; an error where it is none, or was written by a newer version."""
        if not self.recipe.is_file():
            raise InputError(
                "no workspace here: there is no recipe.toml",
                where=str(self.root),
                hint="give the workspace with -w, or make one: dmforge init DIR --recipe NAME",
            )
        read_format(self.root)
        return self

    @contextmanager
    def held(self, command: str) -> Generator[None]:
        """Hold the workspace for writing. The lock goes with the process, however it dies."""
        with self._locked(command, fcntl.LOCK_EX):
            yield

    @contextmanager
    def held_with_others(self, command: str) -> Generator[None]:
        """Hold the workspace together with other ranks, each of which writes only its own files."""
        with self._locked(command, fcntl.LOCK_SH):
            yield

    @contextmanager
    def _locked(self, command: str, flock_operation: int) -> Generator[None]:
        lock_path = self.runs / "lock"
        with lock_file(lock_path) as lock_descriptor:
            if not lock(lock_descriptor, flock_operation | fcntl.LOCK_NB, lock_path):
                raise WorkspaceHeld(
                    f"another run holds this workspace: {_holder(lock_descriptor)}",
                    where=str(self.root),
                    hint="wait for it, or stop it; nothing was changed",
                )
            holder_info = {
                "pid": machine.current.process_id(),
                "host": socket.gethostname(),
                "user": user_name(),
                "command": command,
            }
            with disk_errors(lock_path):
                machine.current.truncate(lock_descriptor, 0)
                machine.current.pwrite(lock_descriptor, (json.dumps(holder_info) + "\n").encode(), 0)
            stamp_format(self.root)
            yield

    @property
    def is_held(self) -> bool:
        """Whether somebody writes here now. Nothing is written to find out."""
        lock_path = self.runs / "lock"
        try:
            lock_descriptor = os.open(lock_path, os.O_RDONLY)
        except OSError:
            return False  # nobody has ever written here
        try:
            return not lock(lock_descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB, lock_path)
        except LakeError:
            return False  # a file system without locks: nothing runs there
        finally:
            os.close(lock_descriptor)

    @contextmanager
    def reading(self) -> Generator[None]:
        """Read the workspace: superseded files stay meanwhile, and are removed by a later run."""
        try:
            readers_descriptor = machine.current.open(self._readers, os.O_RDONLY)
        except FileNotFoundError:  # nobody has ever written here, so nobody will remove anything meanwhile
            yield
            return
        try:
            lock(readers_descriptor, fcntl.LOCK_SH, self._readers)
            yield
        finally:
            machine.current.close(readers_descriptor)

    @contextmanager
    def unread(self) -> Generator[bool]:
        """Yield whether nobody reads the workspace; if so, readers are kept out while the block lasts."""
        with lock_file(self._readers) as readers_descriptor:
            yield lock(readers_descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB, self._readers)

    @property
    def _readers(self) -> Path:
        return self.runs / "readers"


def user_name() -> str:
    """The name of the current user; its number in a container without a user database."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return str(os.getuid())


def _holder(lock_descriptor: int) -> str:
    try:
        holder_info = json.loads(os.pread(lock_descriptor, 4096, 0))
        return f"process {holder_info['pid']} of {holder_info['user']} on {holder_info['host']} ({holder_info['command']})"
    except (ValueError, KeyError, TypeError):
        return "a process that has not yet said its name"


def retry_while_held(attempt: Callable[[], None], wait_timeout_s: float) -> None:
    """Call `attempt`, which needs the workspace for itself, again until the workspace is free."""
    deadline_s = machine.current.monotonic() + wait_timeout_s
    while True:
        try:
            return attempt()
        except WorkspaceHeld:
            if machine.current.monotonic() > deadline_s:
                raise
            machine.current.sleep(PAUSE_S)
