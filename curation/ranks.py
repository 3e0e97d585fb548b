"""Who of several ranks is at work on which share of the videos: locks on a shared folder, which go with the process."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager

from dmforge.curation.atomic import disk_errors
from dmforge.curation.lake.shares import Share
from dmforge.curation.locks import lock, lock_errors
from dmforge.curation.workspace import Held, Workspace

WORKING = "working"
"""The file that ranks at work hold a lock of."""
SHORTEST_PAUSE_S, LONGEST_PAUSE_S = 0.1, 15.0
"""Between two looks at what others have done: each reads every commit file."""


@contextmanager
def claimed(workspace: Workspace, share: Share, command: str) -> Generator[None]:
    """Hold a share. Plain runs are kept out, and so is every rank whose share has a video in common, of whatever world size."""
    with workspace.held_with_others(command), _open(workspace, "shares") as shares:
        try:  # a byte of the file stands for each slot; none is ever written
            with lock_errors(workspace.runs / "shares"):
                fcntl.lockf(shares, fcntl.LOCK_EX | fcntl.LOCK_NB, share.stop - share.first, share.first)
        except (BlockingIOError, PermissionError):
            raise Held(
                f"another rank is at work on videos of rank {share.rank} of {share.of}",
                where=str(workspace.root),
                mend="give each rank a number of its own, and all the same world size; or wait for it",
            ) from None
        # readers' files stay: nobody removes what another rank may be about to read
        with workspace.reading():
            yield


class Working:
    """Says to other ranks that this one is at work, and looks whether any is."""

    def __init__(self, workspace: Workspace, patience_s: float) -> None:
        self._workspace, self._patience_s = workspace, patience_s

    @contextmanager
    def working(self) -> Generator[None]:
        with _open(self._workspace, WORKING) as working:
            lock(working, fcntl.LOCK_SH, self._workspace.runs / WORKING)
            yield

    def wait_until(self, ready: Callable[[], bool]) -> bool:
        """Wait for what others do; in vain, where none has been at work for too long."""
        pause_s, seen_s = SHORTEST_PAUSE_S, time.monotonic()
        while True:
            # in this order: what one has done who ended meanwhile is seen
            if self._others_work():
                seen_s = time.monotonic()
            if ready():
                return True
            if time.monotonic() - seen_s > self._patience_s:
                return False
            time.sleep(pause_s)
            pause_s = min(1.5 * pause_s, LONGEST_PAUSE_S)

    def _others_work(self) -> bool:
        with _open(self._workspace, WORKING) as working:
            return not lock(working, fcntl.LOCK_EX | fcntl.LOCK_NB, self._workspace.runs / WORKING)


def patiently(attempt: Callable[[], None], patience_s: float) -> None:
    """Do what needs a workspace for itself, once it is free."""
    until_s = time.monotonic() + patience_s
    while True:
        try:
            return attempt()
        except Held:
            if time.monotonic() > until_s:
                raise
            time.sleep(SHORTEST_PAUSE_S)


@contextmanager
def _open(workspace: Workspace, name: str) -> Generator[int]:
    path = workspace.runs / name
    with disk_errors(path):
        workspace.runs.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        yield descriptor
    finally:
        os.close(descriptor)
