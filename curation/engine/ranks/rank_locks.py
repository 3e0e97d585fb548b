"""Locks of ranks on a shared folder: on a rank's share of the videos, and on being at work. They end with the process."""

from __future__ import annotations

import fcntl
from collections.abc import Callable, Generator
from contextlib import contextmanager

from dmforge.curation.io import machine
from dmforge.curation.io.backoff import growing_pauses_s
from dmforge.curation.io.locks import lock, lock_errors, lock_file
from dmforge.curation.lake.partition import Share
from dmforge.curation.workspace_folder import WorkspaceFolder, WorkspaceHeld

WORK_LOCK = "working"
"""The file on which ranks at work hold a lock."""
MIN_PAUSE_S, MAX_PAUSE_S, PAUSE_GROWTH = 0.1, 15.0, 1.5
"""The pause between two checks for the work of others: each check reads every commit file."""


@contextmanager
def claim_share(workspace: WorkspaceFolder, share: Share, command: str) -> Generator[None]:
    """Lock a share. Runs without ranks are kept out, and so are ranks with a video in common, of whatever world size."""
    with workspace.held_with_others(command), lock_file(workspace.runs / "shares") as lock_descriptor:
        try:  # a byte of the file stands for each slot; none is ever written
            with lock_errors(workspace.runs / "shares"):
                machine.current.lock_bytes(lock_descriptor, share.stop - share.first, share.first)
        except (BlockingIOError, PermissionError):
            raise WorkspaceHeld(
                f"another rank is at work on videos of rank {share.rank} of {share.of}",
                where=str(workspace.root),
                hint="give each rank a number of its own, and all the same world size; or wait for it",
            ) from None
        # readers' files stay: nobody removes what another rank may be about to read
        with workspace.reading():
            yield


class RankPresence:
    """Shows other ranks that this one is at work, and checks whether any of them is."""

    def __init__(self, workspace: WorkspaceFolder, wait_timeout_s: float) -> None:
        self._workspace, self._wait_timeout_s = workspace, wait_timeout_s

    @contextmanager
    def working(self) -> Generator[None]:
        with lock_file(self._workspace.runs / WORK_LOCK) as lock_descriptor:
            lock(lock_descriptor, fcntl.LOCK_SH, self._workspace.runs / WORK_LOCK)
            yield

    def wait_until(self, is_ready: Callable[[], bool]) -> bool:
        """Wait for the work of others; False where none has been at work for too long."""
        pauses_s, last_seen_s = growing_pauses_s(MIN_PAUSE_S, MAX_PAUSE_S, PAUSE_GROWTH), machine.current.monotonic()
        while True:
            # in this order, so that the work of a rank that ended meanwhile is seen
            if self._others_work():
                last_seen_s = machine.current.monotonic()
            if is_ready():
                return True
            if machine.current.monotonic() - last_seen_s > self._wait_timeout_s:
                return False
            machine.current.sleep(next(pauses_s))

    def _others_work(self) -> bool:
        with lock_file(self._workspace.runs / WORK_LOCK) as lock_descriptor:
            return not lock(lock_descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB, self._workspace.runs / WORK_LOCK)
