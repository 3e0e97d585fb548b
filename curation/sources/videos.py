"""The videos of a workspace, a line each in `inputs/videos.jsonl`: one is known by its bytes, wherever it lies."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from dmforge.curation.atomic import disk_errors, sync_folder, writing
from dmforge.curation.workspace import Workspace
from dmforge.schemas.errors import InputError
from dmforge.schemas.ids import ID_BYTES, Id, digest
from dmforge.schemas.records import UNKNOWN

SUFFIXES = frozenset({".mp4", ".mkv", ".webm", ".mov", ".avi", ".m4v", ".ts", ".mpg", ".mpeg", ".3gp", ".flv"})
"""What counts as a video in a folder; a file that is named is taken whatever it is called."""


@dataclass(frozen=True, slots=True)
class Origin:
    """Where videos come from, as the person who brings them says."""

    source: str = UNKNOWN
    licence: str = UNKNOWN
    namespace: str = UNKNOWN


@dataclass(frozen=True, slots=True)
class Listed:
    """A line of the list."""

    sha256: str
    path: str
    source: str
    licence: str
    namespace: str
    source_id: str

    @property
    def video(self) -> Id:
        return bytes.fromhex(self.sha256)[:ID_BYTES]


@dataclass(frozen=True, slots=True)
class Registered:
    """What registering did: how many are new, how many were known, and which these are."""

    new: int
    known: int
    videos: tuple[Id, ...]


def listed(workspace: Workspace) -> dict[str, Listed]:
    """Every video of the workspace by its sha256."""
    path = _list(workspace)
    if not path.exists():
        return {}
    found: dict[str, Listed] = {}
    with disk_errors(path):
        lines = path.read_bytes().split(b"\n")
    for number, line in enumerate(lines, 1):
        try:
            if line.strip():
                video = Listed(**json.loads(line))
                found[video.sha256] = video if len(bytes.fromhex(video.sha256)) == 32 else _refuse("no sha256")
        except (ValueError, TypeError) as error:
            mend = "correct the line, or delete it and ingest the file again"
            raise InputError(f"not a video: {error}", where=f"{path}:{number}", mend=mend) from None
    return found


def register(workspace: Workspace, paths: Sequence[Path], origin: Origin) -> Registered:
    """Write files down, and the videos in folders. One whose bytes are known stays as it is, but for a path that is gone."""
    known = listed(workspace)
    new: dict[str, Listed] = {}
    moved: dict[str, Listed] = {}
    seen: dict[str, None] = {}
    for path in _files(paths):
        sha256 = _sha256(path)
        seen[sha256] = None
        if sha256 not in known:
            new.setdefault(sha256, Listed(sha256, str(path.resolve()), **asdict(origin), source_id=path.stem))
        elif not Path(known[sha256].path).exists():
            moved[sha256] = replace(known[sha256], path=str(path.resolve()))
    if new or moved:
        lines = [json.dumps(asdict(video)) + "\n" for video in (known | moved | new).values()]
        with writing(_list(workspace)) as file:
            file.write("".join(lines).encode("ascii"))
        sync_folder(workspace.inputs)
    return Registered(len(new), len(seen) - len(new), tuple(bytes.fromhex(sha256)[:ID_BYTES] for sha256 in seen))


def edition(videos: Iterable[Listed]) -> str:
    """What a list of videos says; where they lie is not part of it."""
    return digest("videos", sorted([v.sha256, v.source, v.licence, v.namespace, v.source_id] for v in videos)).hex()


def _files(paths: Sequence[Path]) -> Iterator[Path]:
    for path in paths:
        if path.is_dir():
            yield from sorted(file for file in path.rglob("*") if file.suffix.lower() in SUFFIXES and file.is_file())
        elif path.is_file():
            yield path
        else:
            raise InputError("there is no such file or folder", where=str(path), mend="correct the path")


def _sha256(path: Path) -> str:
    with disk_errors(path), path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _list(workspace: Workspace) -> Path:
    return workspace.inputs / "videos.jsonl"


def _refuse(what: str) -> Listed:
    raise ValueError(what)
