"""The files in `media/` of a video: its renditions, named by its id, and the receipt that says what they were made from."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from dmforge.curation.io.atomic import disk_errors, write_json
from dmforge.curation.io.known_checksums import known_sha256
from dmforge.curation.io.sealed_json import sealed, unsealed
from dmforge.curation.workspace_folder import WorkspaceFolder
from dmforge.schemas.clips import Clips
from dmforge.schemas.errors import InputError, LakeError
from dmforge.schemas.ids import Id, base32

HINT = (
    "`dmforge verify -w WS --repair` has it made anew from the file that was ingested; or remove lake/commits/ingest, and run"
)
COARSE_SUFFIX, RECEIPT_SUFFIX = ".coarse.mp4", ".json"


@dataclass(frozen=True, slots=True)
class Media:
    """The files of one video: `media/ab/<id>.mp4`; folders by the first two letters, so that none grows too large."""

    workspace: WorkspaceFolder
    video: Id

    @property
    def grid(self) -> Path:
        """12 frames a second, at the largest size of a look."""
        return self._path(".mp4")

    @property
    def coarse(self) -> Path:
        """The frames of V0."""
        return self._path(COARSE_SUFFIX)

    @property
    def receipt(self) -> Path:
        return self._path(RECEIPT_SUFFIX)

    def _path(self, file_suffix: str) -> Path:
        video_key = base32(self.video)
        return self.workspace.media / video_key[:2] / f"{video_key}{file_suffix}"


@dataclass(frozen=True, slots=True)
class Receipt:
    """What renditions were made from, and how: readers can tell whether they are unchanged."""

    source_sha256: str
    grid_sha256: str
    coarse_sha256: str
    clips: str
    """Digest of the settings that decide which frames they hold."""
    encoder: str


def write_receipt(media: Media, receipt: Receipt) -> None:
    write_json(media.receipt, sealed(asdict(receipt)), media.workspace.writer_suffix)


def read_receipt(media: Media) -> Receipt:
    """The receipt of a video's renditions."""
    return _parse_receipt(media.receipt)


def _parse_receipt(receipt_path: Path) -> Receipt:
    try:
        with disk_errors(receipt_path):
            return Receipt(**unsealed(json.loads(receipt_path.read_bytes())))
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        raise LakeError(f"no receipt: {error}", where=str(receipt_path), hint=HINT) from None


def check_rendition(rendition_path: Path) -> None:
    """Check a rendition against the receipt beside it, before its frames are shown to anybody: once a process as long as the
    file stays as it is. One that has no receipt is not of a workspace, or not yet finished."""
    receipt_path = rendition_path.with_name(rendition_path.name.partition(".")[0] + RECEIPT_SUFFIX)
    if not receipt_path.is_file():
        return
    receipt = _parse_receipt(receipt_path)
    expected_sha256 = receipt.coarse_sha256 if rendition_path.name.endswith(COARSE_SUFFIX) else receipt.grid_sha256
    with disk_errors(rendition_path):
        if known_sha256(rendition_path) != expected_sha256:
            raise LakeError("the rendition is not what its receipt says", where=str(rendition_path), hint=HINT)


def read_renditions(media: Media) -> dict[str, bytes]:
    """The bytes of both renditions, by their suffix in shards, checked against the receipt."""
    receipt = read_receipt(media)
    data_by_suffix: dict[str, bytes] = {}
    for suffix, rendition_path, expected_sha256 in (
        ("coarse.mp4", media.coarse, receipt.coarse_sha256),
        ("mp4", media.grid, receipt.grid_sha256),
    ):
        with disk_errors(rendition_path):
            data_by_suffix[suffix] = rendition_path.read_bytes()
        if hashlib.sha256(data_by_suffix[suffix]).hexdigest() != expected_sha256:
            raise LakeError("the rendition is not what its receipt says", where=str(rendition_path), hint=HINT)
    return data_by_suffix


def kept_clips(workspace: WorkspaceFolder) -> Clips | None:
    """The clip settings that the renditions in media/ were made with; None where there are none yet."""
    clips_path = _clips_file(workspace)
    if not clips_path.exists():
        return None
    try:
        with disk_errors(clips_path):
            clip_settings = dict[str, Any](json.loads(clips_path.read_bytes()))
    except (ValueError, TypeError, RecursionError) as error:
        raise LakeError(
            f"no settings of clips: {error}", where=str(clips_path), hint="restore the file from a backup"
        ) from None
    return Clips.from_semantic(clip_settings, where=str(clips_path))


def keep_clips(workspace: WorkspaceFolder, clips: Clips) -> None:
    """Record the clip settings that renditions in media/ are made with from now on."""
    write_json(_clips_file(workspace), clips.semantic())


def require_clips(workspace: WorkspaceFolder, clips: Clips) -> None:
    """Refuse clip settings that differ from those of the existing renditions; where there are none, record these."""
    refuse_other_clips(workspace, clips)
    if kept_clips(workspace) is None:
        keep_clips(workspace, clips)


def refuse_other_clips(workspace: WorkspaceFolder, clips: Clips) -> None:
    """Refuse clip settings that differ from those of the existing renditions: these would hold other frames than needed."""
    stored_clips = kept_clips(workspace)
    if stored_clips is not None and stored_clips != clips:
        clips_location = f"{workspace.recipe}: [clips]"
        if only_looks_grow(stored_clips, clips):
            raise InputError(
                "look_size is 'floor' now, and the renditions in media/ were made with 'fixed'",
                where=clips_location,
                hint=f"`dmforge upgrade -w {workspace.root} --dry-run` says what would be made anew, and without --dry-run "
                "it takes the change on, for good; or put 'fixed' back",
            )
        differing_settings = ", ".join(
            setting_name
            for setting_name in Clips.model_fields
            if getattr(stored_clips, setting_name) != getattr(clips, setting_name)
        )
        raise InputError(
            f"the renditions in media/ were made with other clips: {differing_settings}",
            where=clips_location,
            hint="put the old values back, or make another workspace for the new ones",
        )


def only_looks_grow(kept: Clips, clips: Clips) -> bool:
    """Whether the one change is that looks may be larger: the same frames are rendered anew for some videos.

    Not so the other way round: what an older recipe has settled would not be rendered anew.
    """
    return kept.look_size == "fixed" and clips == kept.model_copy(update={"look_size": "floor"})


def _clips_file(workspace: WorkspaceFolder) -> Path:
    return workspace.media / "clips.json"
