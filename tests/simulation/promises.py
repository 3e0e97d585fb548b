"""What must hold at every step: commits name whole parts, no input is settled twice, and what was acknowledged stays."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from dmforge.curation.io.atomic import TEMPORARY
from dmforge.curation.lake.commits import Commit
from dmforge.schemas.ids import Id
from tests.simulation.scheduler import BrokenPromise
from tests.simulation.simulated_machine import SimulatedMachine

Settled = tuple[str, str, Id]
"""A stage, its variant, and an input."""


@dataclass(frozen=True)
class Described:
    """A commit as its file says."""

    supersedes: tuple[str, ...]
    parts: tuple[tuple[str, str], ...]
    """Path in the lake and sha256."""
    settled: Mapping[Settled, Id]
    """What it settles, with the video of each."""


class LakePromises:
    """Reads the lake as plain files, by no code of the product, whenever a commit has changed."""

    def __init__(self, root: Path, machine: SimulatedMachine) -> None:
        self._lake, self._lock, self._machine = root / "lake", root / "runs" / "lock", machine
        self.acknowledged: dict[Settled, Id] = {}
        """What commits whose publication has returned have settled, with the video of each."""
        self.taken_down: set[Id] = set()
        """Videos whose takedown has begun."""
        self.rotten: dict[Path, bytes] = {}
        """Files in which a bit was flipped, and what they held before."""
        self.checks = 0
        self._known: dict[bytes, Described] = {}
        """By the bytes of their files."""

    def after_change(self, path: Path) -> None:
        if path.suffix == ".json" and path.is_relative_to(self._lake / "commits"):
            if not self._machine.holds(self._lock):
                raise BrokenPromise(f"{path.name} was changed by a process that doesn't hold the workspace")
            self.check()

    def published(self, commit: Commit) -> None:
        """A publication has returned."""
        path = commit.path(self._lake / "commits")
        if path.exists() and commit.kind != "roster":
            self.acknowledged |= self._described(path).settled

    def check(self) -> None:
        self.checks += 1
        commits = {path.stem: self._described(path) for path in sorted(self._lake.glob("commits/*/*.json"))}
        superseded = {name for commit in commits.values() for name in commit.supersedes}
        settled: dict[Settled, Id] = {}
        for name, commit in commits.items():
            if name not in superseded:
                for part, sha256 in commit.parts:
                    self._whole(part, sha256)
                if twice := settled.keys() & commit.settled.keys():
                    raise BrokenPromise(f"{len(twice)} inputs of {next(iter(twice))[0]} are settled twice")
                settled |= commit.settled
        lost = [key for key, video in self.acknowledged.items() if key not in settled and video not in self.taken_down]
        if lost:
            raise BrokenPromise(f"{len(lost)} outcomes of {lost[0][0]} are lost that had been acknowledged")

    def _described(self, path: Path) -> Described:
        try:
            commit_bytes = path.read_bytes()
            if commit_bytes not in self._known:
                self._known[commit_bytes] = self._parsed(commit_bytes)
            return self._known[commit_bytes]
        except (ValueError, KeyError, pa.ArrowException) as error:
            raise BrokenPromise(f"half a commit can be seen: {path.name}: {error}") from error
        except OSError as error:
            raise BrokenPromise(f"{path.name} names a part that isn't there: {error}") from error

    def _whole(self, part: str, sha256: str) -> None:
        path = self._lake / part
        if not path.exists():
            raise BrokenPromise(f"a commit names {part}, which is not there")
        status = path.stat()
        if path not in self.rotten and _hashed(path, status.st_ino, status.st_size) != sha256:
            raise BrokenPromise(f"a commit names {part}, of which half is there")

    def _parsed(self, commit_bytes: bytes) -> Described:
        values: dict[str, Any] = json.loads(commit_bytes)
        settled: dict[Settled, Id] = {}
        parts = tuple((f"{part['table']}/{part['name']}", part["sha256"]) for part in values["parts"])
        for part, _ in parts:
            if part.startswith("outcomes/") and values["kind"] != "roster":
                path = self._lake / part
                rows = pq.read_table(
                    BytesIO(self.rotten.get(path) or path.read_bytes()), columns=["input", "video"]
                ).to_pydict()
                inputs = [(values["stage"], values["variant"], input_id) for input_id in rows["input"]]
                settled |= dict(zip(inputs, rows["video"], strict=True))
        return Described(tuple(values["supersedes"]), parts, settled)


def no_leftovers(root: Path) -> list[Path]:
    """Unfinished files that a run should have removed."""
    return sorted(root.glob(f"lake/**/*{TEMPORARY}"))


@cache
def _hashed(path: Path, inode: int, size_bytes: int) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def forget_caches() -> None:
    """What is known of files goes with their folder."""
    _hashed.cache_clear()
