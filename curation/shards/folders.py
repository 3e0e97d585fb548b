"""Where a packed corpus lies: `shards/<corpus>/<selection>/`, published whole, and removed whole when a video is taken down."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Collection, Generator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from dmforge.curation.atomic import TEMPORARY, disk_errors, make_folder, sync_folder, write_json
from dmforge.curation.workspace import Workspace
from dmforge.schemas.errors import LakeError
from dmforge.schemas.ids import Id, base32

MANIFEST = "manifest.json"


@dataclass(frozen=True, slots=True)
class Shard:
    """One tar."""

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
    videos: tuple[str, ...]
    """The keys, in the order of the shards."""
    shards: tuple[Shard, ...]

    @property
    def samples(self) -> int:
        return sum(shard.samples for shard in self.shards)

    @property
    def bytes(self) -> int:
        """Of the tars together."""
        return sum(shard.bytes for shard in self.shards)


def selection_folder(workspace: Workspace, corpus: str, selection: Id) -> Path:
    return workspace.shards / corpus / base32(selection)


@contextmanager
def published(folder: Path) -> Generator[Path]:
    """A folder that appears at its place when the block ends well, and not at all when it doesn't."""
    beside = folder.with_name(folder.name + TEMPORARY)
    with disk_errors(folder):
        if beside.exists():
            shutil.rmtree(beside)
        make_folder(beside)
    yield beside
    with disk_errors(folder):
        sync_folder(beside)
        if folder.exists():  # a kill came between this and the commit, or someone has touched it: what was made last stands
            shutil.rmtree(folder)
        os.replace(beside, folder)
        sync_folder(folder.parent)


def write_manifest(folder: Path, manifest: Manifest) -> None:
    write_json(folder / MANIFEST, asdict(manifest))


def read_manifest(folder: Path) -> Manifest:
    path = folder / MANIFEST
    try:
        if not path.exists():
            mend = "remove the files in lake/commits/pack, and run again: it is packed anew"
            raise LakeError("the shards are gone", where=str(folder), mend=mend)
        with disk_errors(path):
            content: dict[str, Any] = json.loads(path.read_bytes())
        shards = tuple(Shard(**shard) for shard in content["shards"])
        return Manifest(content["corpus"], content["selection"], tuple(content["videos"]), shards)
    except (ValueError, KeyError, TypeError) as error:
        mend = "remove the folder and the files in lake/commits/pack, and run again: it is packed anew"
        raise LakeError(f"no manifest of shards: {error}", where=str(path), mend=mend) from None


def manifests(workspace: Workspace) -> dict[Path, Manifest]:
    """Every packed selection by its folder."""
    return {path.parent: read_manifest(path.parent) for path in sorted(workspace.shards.glob(f"*/*/{MANIFEST}"))}


def sweep(workspace: Workspace) -> None:
    """Remove what a kill left half written."""
    for folder in workspace.shards.glob(f"*/*{TEMPORARY}"):
        with disk_errors(folder):
            shutil.rmtree(folder)


def remove_with(workspace: Workspace, videos: Collection[Id]) -> int:
    """Remove every selection that holds one of these videos; the next run packs what is left. How many there were."""
    keys = {base32(video) for video in videos}
    sweep(workspace)
    doomed = [folder for folder, manifest in manifests(workspace).items() if keys & set(manifest.videos)]
    for folder in doomed:
        with disk_errors(folder):
            shutil.rmtree(folder)
    return len(doomed)
