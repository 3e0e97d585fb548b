"""The videos of a workspace, a line each in `inputs/videos.jsonl`: one is known by its bytes, wherever it lies."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from dmforge.curation.atomic import disk_errors, sync_folder, writing
from dmforge.curation.sources import places
from dmforge.curation.sources.claims import Claims
from dmforge.curation.workspace import Workspace
from dmforge.schemas.errors import InputError, LakeError
from dmforge.schemas.ids import ID_BYTES, Id, digest, show
from dmforge.schemas.visible import storable

SUFFIXES = frozenset({
    ".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".ts", ".mts", ".m2ts", ".mpg", ".mpeg", ".vob", ".3gp", ".flv", ".wmv",
    ".asf", ".ogv", ".mxf", ".gif",
})  # fmt: skip
"""What counts as a video in a folder; a file that is named is taken whatever it is called."""


UNSAID = Claims()
CLAIMED = ("source", "licence", "terms", "namespace", "role")


@dataclass(frozen=True, slots=True)
class Listed:
    """A line of the list."""

    sha256: str
    path: str
    source: str
    licence: str
    namespace: str
    source_id: str
    also: list[str]
    """Other names that the same bytes came under: annotations may use any of them."""
    terms: str = UNSAID.terms
    role: str = UNSAID.role

    @property
    def video(self) -> Id:
        return _video_id(self.sha256)


@dataclass(frozen=True, slots=True)
class Registered:
    """Which of the files that were brought are new, and which were known."""

    new: tuple[Id, ...]
    known: tuple[Id, ...]
    copies: int
    """How many files had the same bytes as one before them."""
    unread: dict[str, str]
    """Files that can't be read, by their places, and why: the others came in."""


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
                found[video.sha256] = video
                _check(video)
        except (ValueError, TypeError, RecursionError) as error:
            mend = "correct the line, or delete it and ingest the file again"
            raise InputError(f"not a video: {error}", where=f"{path}:{number}", mend=mend) from None
    return found


def register(workspace: Workspace, brought: Sequence[str], claims: Claims) -> Registered:
    """Write files down, and the videos in folders. Of one whose bytes are known, only another name or place is added."""
    known = listed(workspace)
    now = dict(known)
    seen, unread = Counter[str](), dict[str, str]()
    try:
        for place in places.files(brought, SUFFIXES):
            try:
                sha256 = places.sha256_of(place)
            except LakeError as error:
                unread[place] = error.what
                continue
            seen[sha256] += 1
            fresh = Listed(
                sha256, place, **{name: getattr(claims, name) for name in CLAIMED}, source_id=_called(place), also=[]
            )
            now[sha256] = _joined(now[sha256], fresh) if sha256 in now else fresh
    finally:  # what was read so far needn't be read again, however this ends
        if now != known:
            _write(workspace, now.values())
    new = [sha256 for sha256 in seen if sha256 not in known]
    old = tuple(_video_id(sha256) for sha256 in seen if sha256 in known)
    return Registered(tuple(map(_video_id, new)), old, seen.total() - len(seen), unread)


def take_over_list(workspace: Workspace, other: Workspace) -> int:
    """The videos of another workspace's list; how many were not on this one. Of a known one, only other names are added."""
    known, theirs = listed(workspace), listed(other)
    now = dict(known)
    for sha256, video in theirs.items():
        ours = now.get(sha256)
        if ours is not None:
            called = [ours.source_id, *ours.also]
            video = replace(ours, also=[*ours.also, *(name for name in (video.source_id, *video.also) if name not in called)])
        now[sha256] = video
    if now != known:
        _write(workspace, now.values())
    return len(now) - len(known)


def _write(workspace: Workspace, videos: Iterable[Listed]) -> None:
    with writing(_list(workspace)) as file:
        file.write("".join(json.dumps(asdict(video)) + "\n" for video in videos).encode("ascii"))
    sync_folder(workspace.inputs)


def names(videos: Iterable[Listed]) -> Iterator[tuple[str, Id]]:
    """Every name by which a video may be called: its id, and what its files are called without suffix."""
    for video in videos:
        for name in dict.fromkeys((show("video", video.video), video.source_id, *video.also)):
            yield name, video.video


def edition(videos: Iterable[Listed]) -> str:
    """What a list of videos says; where they lie is not part of it."""
    return digest("videos", sorted([asdict(video) | {"path": ""} for video in videos], key=lambda told: told["sha256"])).hex()


def _joined(known: Listed, fresh: Listed) -> Listed:
    """The same bytes again: they were seen there just now, and what is said of them now counts, where something is said."""
    called = [known.source_id, *known.also]
    also = known.also if fresh.source_id in called else [*known.also, fresh.source_id]
    said = {name: value for name in CLAIMED if (value := getattr(fresh, name)) != getattr(UNSAID, name)}
    if not places.is_utf8(fresh.path):  # nothing is asked by such a name, and the video may have another
        return replace(known, **said)
    if not places.is_utf8(known.path):
        return replace(known, **{"path": fresh.path, "source_id": fresh.source_id, **said})
    return replace(known, **{"path": fresh.path, "also": also, **said})


def _called(place: str) -> str:
    """A video's name; of a place that can't be written down all of it, so that it is looked at again once that is renamed."""
    return places.stem(place) if places.is_utf8(place) else storable(place)


def _video_id(sha256: str) -> Id:
    return bytes.fromhex(sha256)[:ID_BYTES]


def _list(workspace: Workspace) -> Path:
    return workspace.inputs / "videos.jsonl"


def _check(video: Listed) -> None:
    texts = (video.sha256, video.path, video.source_id, *video.also, *(getattr(video, name) for name in CLAIMED))
    if not all(isinstance(text, str) for text in texts) or len(bytes.fromhex(video.sha256)) != 32:  # pyright: ignore
        raise ValueError("each field is a text, and sha256 one of 64 letters")
