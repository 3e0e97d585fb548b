"""The folder of a packed selection, `shards/<corpus>/<selection>/`: published whole, and removed whole by a takedown."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Collection, Generator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from dmforge.curation.io import machine
from dmforge.curation.io.atomic import TEMPORARY, disk_errors, make_folder, sync_folder, write_bytes, write_json
from dmforge.curation.shards.index import INDEX, keys_of
from dmforge.curation.shards.stores import CURRENT, Store
from dmforge.curation.workspace_folder import WorkspaceFolder
from dmforge.schemas import formats
from dmforge.schemas.errors import DmforgeError, LakeError
from dmforge.schemas.ids import Id, base32

MANIFEST = "manifest.json"
LEAVING = f".leaving{TEMPORARY}"
"""The suffix of a folder that is being removed."""
MAX_MANIFEST = 64 << 20
"""The largest manifest in bytes: that of some 400,000 shards."""
FILE_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*")


@dataclass(frozen=True, slots=True)
class Shard:
    """A tar of videos and samples."""

    name: str
    sha256: str
    bytes: int
    videos: int
    samples: int


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a folder of shards holds."""

    corpus: str
    selection: str
    partial: bool
    """Packed while earlier stages still had work to do."""
    clips: dict[str, Any]
    """How the frames were cut and sized: readers with other settings refuse the folder."""
    shards: tuple[Shard, ...]
    files: dict[str, str]
    """The sha256 of each further file: the index, the card, and the card for machines."""

    @property
    def videos(self) -> int:
        return sum(shard.videos for shard in self.shards)

    @property
    def samples(self) -> int:
        return sum(shard.samples for shard in self.shards)

    @property
    def bytes(self) -> int:
        """The size of all shards together."""
        return sum(shard.bytes for shard in self.shards)


MANIFEST_ADAPTER = TypeAdapter(Manifest)
FORMAT_NUMBERS = {"format": formats.SHARDS, "documents": formats.DOCUMENTS, "frames": formats.FRAMES}
"""The highest format numbers of a manifest; one without them is of the first formats."""
FORMAT_SUBJECTS = {
    "format": "this folder of shards", "documents": "what its shards say of samples", "frames": "the plan of its frames",
}  # fmt: skip


def selection_folder(workspace: WorkspaceFolder, corpus: str, selection: Id) -> Path:
    return workspace.shards / corpus / base32(selection)


@contextmanager
def published(folder: Path) -> Generator[Path]:
    """A temporary folder that is moved to `folder` when the block succeeds, and removed when it fails."""
    temporary_folder = folder.with_name(folder.name + TEMPORARY)
    with disk_errors(folder):
        if temporary_folder.exists():
            machine.current.remove_tree(temporary_folder)
        make_folder(temporary_folder)
    try:
        yield temporary_folder
    except BaseException:
        with suppress(OSError):
            machine.current.remove_tree(temporary_folder)  # a disk that is full needs the room
        raise
    with disk_errors(folder):
        sync_folder(temporary_folder)
        if folder.exists():  # a kill came between this and the commit, or someone has touched it: what was made last stands
            _remove_whole(folder)
        machine.current.replace(temporary_folder, folder)
        sync_folder(folder.parent)


def write_manifest(folder: Path, manifest: Manifest, *, has_limits: bool = False, has_target_sets: bool = False) -> None:
    """Write the manifest, last of all files: a folder with one is complete. `has_limits`: a look has a box or a quota;
    `has_target_sets`: a target has several looks."""
    documents_format = formats.documents_format(has_limits, has_target_sets)
    numbers = {"frames": formats.frames_format(manifest.clips), "documents": documents_format}
    content = asdict(manifest) | FORMAT_NUMBERS | numbers
    write_json(folder / MANIFEST, content | {"sha256": _content_sha256(content)})


def write_current(folder: Path) -> None:
    """Let the file beside a selection name it; whoever reads it sees this selection or the one before, never half a name."""
    current_path = folder.parent / CURRENT
    if not current_path.is_file() or current_path.read_text("utf-8", "replace").strip() != folder.name:
        write_bytes(current_path, f"{folder.name}\n".encode())


def read_manifest(folder: Path) -> Manifest:
    """The manifest of a folder of the workspace."""
    manifest_path = folder / MANIFEST
    if not manifest_path.exists():
        hint = "remove the files in lake/commits/pack, and run again: it is packed anew"
        raise LakeError("the shards are gone", where=str(folder), hint=hint)
    with disk_errors(manifest_path):
        return parse_manifest(manifest_path.read_bytes(), str(manifest_path))


def stored_manifest(store: Store) -> Manifest:
    """The manifest of a folder of shards, wherever it lies."""
    return parse_manifest(manifest_bytes(store), f"{store.place}/{MANIFEST}")


def manifest_bytes(store: Store) -> bytes:
    """The bytes of a folder's manifest; of one that is too long, enough for `parse_manifest` to see it."""
    with store.open(MANIFEST) as manifest_file:
        return manifest_file.read(MAX_MANIFEST + 1)


def parse_manifest(manifest_data: bytes, where: str) -> Manifest:
    """Parse a manifest; an error where a single bit of it was changed."""
    try:
        if len(manifest_data) > MAX_MANIFEST:
            raise ValueError(f"more than {MAX_MANIFEST >> 20} MB")
        manifest_content: dict[str, Any] = json.loads(manifest_data)
        for field_name, supported_format in FORMAT_NUMBERS.items():
            formats.refuse_newer(FORMAT_SUBJECTS[field_name], manifest_content.get(field_name, 1), supported_format, where)
        if manifest_content.pop("sha256") != _content_sha256(manifest_content):
            raise ValueError("it was changed after it was written")
        manifest_content = {
            field_name: field_value for field_name, field_value in manifest_content.items() if field_name not in FORMAT_NUMBERS
        }
        manifest_json = json.dumps(manifest_content)
        manifest = MANIFEST_ADAPTER.validate_json(manifest_json, strict=True)
        if json.dumps(asdict(manifest), sort_keys=True) != json.dumps(manifest_content, sort_keys=True):
            raise ValueError("it says what no manifest says")
        for field_name in (*(shard.name for shard in manifest.shards), *manifest.files):
            if not FILE_NAME.fullmatch(field_name):
                raise ValueError(f"{field_name!r} is no name of a file beside it")
        if INDEX not in manifest.files:
            raise ValueError(f"it names no {INDEX}")
        return manifest
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        hint = "fetch it again; or remove the folder and the files in lake/commits/pack, and run: it is packed anew"
        raise LakeError(f"no manifest of shards: {error}", where=where, hint=hint) from None


def _content_sha256(manifest_content: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(manifest_content, sort_keys=True).encode()).hexdigest()


def sweep(workspace: WorkspaceFolder) -> None:
    """Remove half-written folders and files that killed processes left behind."""
    for leftover_path in workspace.shards.glob(f"*/*{TEMPORARY}"):
        with disk_errors(leftover_path):
            machine.current.remove_tree(leftover_path) if leftover_path.is_dir() else machine.current.unlink(leftover_path)


def remove_with(workspace: WorkspaceFolder, videos: Collection[Id]) -> int:
    """Remove every selection that holds one of these videos, and count them; the next run packs what is left."""
    sweep(workspace)
    folders_to_remove = folders_with(workspace, videos)
    for folder in folders_to_remove:
        # the folder itself goes last: while it is there, a takedown that was cut short finds all that goes with it again
        _remove_current(folder)
        export_names = (folder.name, folder.name + TEMPORARY)  # an interrupted one is kept, to be gone on with
        exported_folders = [
            path
            for name in (*export_names, *(name + LEAVING for name in export_names))
            for path in workspace.root.glob(f"exports/*/{folder.parent.name}/{name}")
        ]
        for folder_path in (*exported_folders, folder):
            with disk_errors(folder_path):
                _remove_whole(folder_path)
    return len(folders_to_remove)


def _remove_whole(folder: Path) -> None:
    """Remove a folder. It loses its name first: nobody sees half of it, and what a kill leaves is swept."""
    leaving_folder = folder if folder.name.endswith(LEAVING) else folder.with_name(folder.name + LEAVING)
    if leaving_folder != folder:
        if leaving_folder.exists():
            machine.current.remove_tree(leaving_folder)
        machine.current.replace(folder, leaving_folder)
        sync_folder(folder.parent)
    machine.current.remove_tree(leaving_folder)
    sync_folder(folder.parent)


def _remove_current(folder: Path) -> None:
    """Remove the file that names a selection which is gone."""
    current_path = folder.parent / CURRENT
    with disk_errors(current_path):
        if current_path.is_file() and current_path.read_text("utf-8", "replace").strip() == folder.name:
            machine.current.unlink(current_path)
            sync_folder(current_path.parent)  # before the folder goes: it must not name what isn't there


def folders_with(workspace: WorkspaceFolder, videos: Collection[Id]) -> list[Path]:
    """The folder of every selection that holds one of these videos."""
    video_keys = {base32(video) for video in videos}
    return [
        manifest_path.parent
        for manifest_path in sorted(workspace.shards.glob(f"*/*/{MANIFEST}"))
        if _may_hold(manifest_path.parent, video_keys)
    ]


def _may_hold(folder: Path, video_keys: set[str]) -> bool:
    """Whether a selection holds one of these videos; one whose index can't be read may hold any, so a takedown removes it."""
    try:
        return bool(keys_of(folder) & video_keys)
    except DmforgeError:
        return True
