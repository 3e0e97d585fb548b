"""The list of a workspace's videos, a line each in `inputs/videos.jsonl`: a video is known by its bytes, wherever it lies."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path, PurePath

from dmforge.curation.io.atomic import disk_errors, write_bytes
from dmforge.curation.io.locations import files, is_utf8, sha256_of, stem
from dmforge.curation.io.sealed_json import sealed, unsealed
from dmforge.curation.sources.source_info import SourceInfo
from dmforge.curation.workspace_folder import WorkspaceFolder
from dmforge.schemas.errors import InputError, LakeError
from dmforge.schemas.ids import ID_BYTES, Id, digest, show
from dmforge.schemas.visible import storable

SUFFIXES = frozenset({
    ".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".ts", ".mts", ".m2ts", ".mpg", ".mpeg", ".vob", ".3gp", ".flv", ".wmv",
    ".asf", ".ogv", ".mxf", ".gif",
})  # fmt: skip
"""Suffixes of videos in a folder; a file that is given itself is taken whatever its suffix."""


def files_in(folders: Sequence[Path]) -> list[str]:
    """The videos in these folders."""
    for folder in folders:
        if not folder.is_dir():
            raise InputError("this is no folder", where=f"--videos {folder}", hint="give the folder in which the videos lie")
    return list(files(list(map(str, folders)), SUFFIXES))


def replaceable(places: Sequence[Path], output: Path) -> list[Path]:
    """Those of these files and folders in which an output could replace a video: of a folder nothing else is read."""
    return [place for place in places if output.suffix.lower() in SUFFIXES or not place.is_dir()]


NO_CLAIMS = SourceInfo()
CLAIMED = ("source", "licence", "terms", "namespace", "role")


@dataclass(frozen=True, slots=True)
class ListedVideo:
    """A video in the list: one line of `inputs/videos.jsonl`."""

    sha256: str
    """Of the file's bytes, in hex."""
    path: str
    """Where the file lies: a path, or an address."""
    source: str
    """The data set or place that it comes from, as who brought it says; so with all that follows."""
    licence: str
    """What it may be used under."""
    namespace: str
    """Whose ids the videos' names are."""
    source_id: str
    """Its name in that namespace."""
    also: list[str]
    """Other names that the same bytes came under: annotations may use any of them."""
    terms: str = NO_CLAIMS.terms
    """Conditions beside the licence."""
    role: str = NO_CLAIMS.role
    """`train`, or `benchmark` where nothing may be trained on it."""

    @property
    def video(self) -> Id:
        return _video_id(self.sha256)


@dataclass(frozen=True, slots=True)
class RegisteredFiles:
    """The result of registering files: which of them are new, and which were known."""

    new: tuple[Id, ...]
    known: tuple[Id, ...]
    copies: int
    """How many files had the same bytes as one before them."""
    unread: dict[str, str]
    """Why files can't be read, by location: the others are registered."""


def listed(workspace: WorkspaceFolder) -> dict[str, ListedVideo]:
    """Every video of the workspace by its sha256."""
    list_path = _list_path(workspace)
    if not list_path.exists():
        return {}
    video_by_sha256: dict[str, ListedVideo] = {}
    with disk_errors(list_path):
        list_lines = list_path.read_bytes().split(b"\n")
    for line_number, list_line in enumerate(list_lines, 1):
        try:
            if list_line.strip():
                listed_video = ListedVideo(**unsealed(json.loads(list_line)))
                video_by_sha256[listed_video.sha256] = listed_video
                _check_texts(listed_video)
        except (ValueError, TypeError, AttributeError, RecursionError) as error:
            hint = "correct the line, or delete it and ingest the file again"
            raise InputError(f"not a video: {error}", where=f"{list_path}:{line_number}", hint=hint) from None
    return video_by_sha256


def register(workspace: WorkspaceFolder, locations: Sequence[str], source_info: SourceInfo) -> RegisteredFiles:
    """Add files, and the videos in folders, to the list. Of a video that is known, only another name or location is added."""
    known_videos = listed(workspace)
    listed_videos = dict(known_videos)
    file_counts, error_by_location = Counter[str](), dict[str, str]()
    try:
        for file_location in files(locations, SUFFIXES):
            try:
                file_sha256 = sha256_of(file_location)
            except LakeError as error:
                error_by_location[file_location] = error.message
                continue
            file_counts[file_sha256] += 1
            new_video = ListedVideo(
                file_sha256,
                file_location,
                **{claim_name: getattr(source_info, claim_name) for claim_name in CLAIMED},
                source_id=_name_of(file_location),
                also=[],
            )
            listed_videos[file_sha256] = (
                _merged(listed_videos[file_sha256], new_video) if file_sha256 in listed_videos else new_video
            )
    finally:  # what was read so far needn't be read again, however this ends
        if listed_videos != known_videos:
            _write(workspace, listed_videos.values())
    new_sha256s = [sha256 for sha256 in file_counts if sha256 not in known_videos]
    old_ids = tuple(_video_id(sha256) for sha256 in file_counts if sha256 in known_videos)
    return RegisteredFiles(
        tuple(map(_video_id, new_sha256s)), old_ids, file_counts.total() - len(file_counts), error_by_location
    )


def take_over_list(workspace: WorkspaceFolder, other_workspace: WorkspaceFolder) -> int:
    """The videos of another workspace's list; how many were not on this one. Of a known one, only other names are added."""
    known_videos, other_videos = listed(workspace), listed(other_workspace)
    merged_videos = dict(known_videos)
    for video_sha256, other_video in other_videos.items():
        own_video = merged_videos.get(video_sha256)
        if own_video is not None:
            known_names = [own_video.source_id, *own_video.also]
            other_video = replace(
                own_video,
                also=[
                    *own_video.also,
                    *(other_name for other_name in (other_video.source_id, *other_video.also) if other_name not in known_names),
                ],
            )
        merged_videos[video_sha256] = other_video
    if merged_videos != known_videos:
        _write(workspace, merged_videos.values())
    return len(merged_videos) - len(known_videos)


def _write(workspace: WorkspaceFolder, videos: Iterable[ListedVideo]) -> None:
    write_bytes(
        _list_path(workspace),
        "".join(json.dumps(sealed(asdict(listed_video))) + "\n" for listed_video in videos).encode("ascii"),
    )


def names(videos: Iterable[ListedVideo]) -> Iterator[tuple[str, Id]]:
    """Every name of each video: its id, and the names of its files without suffix."""
    for listed_video in videos:
        for video_name in dict.fromkeys((show("video", listed_video.video), listed_video.source_id, *listed_video.also)):
            yield video_name, listed_video.video


def videos_by_name(videos: Iterable[ListedVideo]) -> dict[str, list[Id]]:
    """The videos that people may mean by a name: as `names` has them, by the name of their file, or by where that lies."""
    ids_by_name: dict[str, list[Id]] = {}
    for listed_video in videos:
        file_names = (listed_video.path, PurePath(listed_video.path).name)
        for video_name in dict.fromkeys((listed_video.source_id, *listed_video.also, *file_names)):
            ids_by_name.setdefault(video_name, []).append(listed_video.video)
    return ids_by_name


def source_version(videos: Iterable[ListedVideo]) -> str:
    """A digest of a list of videos, without where they lie."""
    return digest(
        "videos",
        sorted(
            [asdict(listed_video) | {"path": ""} for listed_video in videos], key=lambda video_values: video_values["sha256"]
        ),
    ).hex()


def _merged(old_video: ListedVideo, new_video: ListedVideo) -> ListedVideo:
    """A known video that was brought again: its newer path counts, and of the newer claims those that say something."""
    known_names = [old_video.source_id, *old_video.also]
    other_names = old_video.also if new_video.source_id in known_names else [*old_video.also, new_video.source_id]
    newer_claims = {
        claim_name: claim_value
        for claim_name in CLAIMED
        if (claim_value := getattr(new_video, claim_name)) != getattr(NO_CLAIMS, claim_name)
    }
    if not is_utf8(new_video.path):  # nothing is asked by such a name, and the video may have another
        return replace(old_video, **newer_claims)
    if not is_utf8(old_video.path):
        return replace(old_video, **{"path": new_video.path, "source_id": new_video.source_id, **newer_claims})
    return replace(old_video, **{"path": new_video.path, "also": other_names, **newer_claims})


def _name_of(location: str) -> str:
    """A video's name: that of its file. Of a location that can't be stored it is all of it, so that renaming the file shows."""
    return stem(location) if is_utf8(location) else storable(location)


def _video_id(sha256: str) -> Id:
    return bytes.fromhex(sha256)[:ID_BYTES]


def _list_path(workspace: WorkspaceFolder) -> Path:
    return workspace.inputs / "videos.jsonl"


def _check_texts(video: ListedVideo) -> None:
    text_fields = (
        video.sha256,
        video.path,
        video.source_id,
        *video.also,
        *(getattr(video, claim_name) for claim_name in CLAIMED),
    )
    if not all(isinstance(text_field, str) for text_field in text_fields) or len(bytes.fromhex(video.sha256)) != 32:  # pyright: ignore
        raise ValueError("each field must be a text, and sha256 one of 64 hex digits")
