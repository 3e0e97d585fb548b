"""Checks the media of a video: its receipt by the video's row, its renditions by the receipt."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from dmforge.curation.io.atomic import write_bytes
from dmforge.curation.io.byte_ranges import read_range, sha256_of_range
from dmforge.curation.io.known_checksums import known_sha256
from dmforge.curation.io.locations import is_remote
from dmforge.curation.lake.commits import Commit, Lake
from dmforge.curation.lake.parts import read_part
from dmforge.curation.shards.index import INDEX, VideoIndexRow, find_row
from dmforge.curation.soundness.workspace_defects import Repair, WorkspaceDefect, written_with
from dmforge.curation.sources.videos import ListedVideo
from dmforge.curation.video.media import Media, Receipt, read_receipt
from dmforge.curation.workspace_folder import WorkspaceFolder
from dmforge.schemas.columns import id_list
from dmforge.schemas.errors import DmforgeError
from dmforge.schemas.ids import Id, base32, show
from dmforge.schemas.records import Video


@dataclass(frozen=True, slots=True)
class StoredVideo:
    """A video as the lake has it."""

    video: Id
    sha256: str
    made_from: Id
    """The input that it was made from."""
    commit: Commit


def stored_videos(lake: Lake) -> dict[Id, StoredVideo]:
    """Every video that a stage has made, under whichever recipe."""
    video_by_id: dict[Id, StoredVideo] = {}
    for commit in lake.commits.values():
        for part in commit.of(Video.table):
            for table in read_part(lake.workspace.lake, part):
                if "made_from" in table.column_names:
                    inputs, sha256s = id_list(table.column("made_from")), map(str, table.column("sha256").to_pylist())
                    for video, sha256, made_from in zip(id_list(table.column("id")), sha256s, inputs, strict=True):
                        video_by_id[video] = StoredVideo(video, sha256, made_from, commit)
    return video_by_id


def check_media(
    workspace: WorkspaceFolder, videos: Iterable[StoredVideo], listed: Mapping[str, ListedVideo]
) -> Iterator[WorkspaceDefect]:
    """The defects of the renditions of some videos, and of their receipts."""
    for stored in videos:
        yield from _check_video(workspace, stored, listed)


def _check_video(
    workspace: WorkspaceFolder, stored: StoredVideo, listed: Mapping[str, ListedVideo]
) -> Iterator[WorkspaceDefect]:
    media = Media(workspace, stored.video)
    try:
        receipt = read_receipt(media)
        if receipt.source_sha256 != stored.sha256:
            raise DmforgeError(f"it is of another file, {receipt.source_sha256}")
    except DmforgeError as error:
        yield _defect(media, media.receipt, error.message, stored, listed, None)
        return
    for rendition_path, expected_sha256 in ((media.coarse, receipt.coarse_sha256), (media.grid, receipt.grid_sha256)):
        if not rendition_path.is_file():
            yield _defect(media, rendition_path, "it is missing", stored, listed, receipt)
        elif (actual_sha256 := known_sha256(rendition_path)) != expected_sha256:
            reason = f"it was changed: its sha256 is {actual_sha256}; its receipt says {expected_sha256}"
            yield _defect(media, rendition_path, reason, stored, listed, receipt)


def _defect(
    media: Media, path: Path, reason: str, stored: StoredVideo, listed: Mapping[str, ListedVideo], receipt: Receipt | None
) -> WorkspaceDefect:
    root, source = media.workspace.root, listed.get(stored.sha256)
    aside = tuple(filter(Path.exists, (path,)))
    repair = Repair(aside, video=stored.video, stages=(stored.commit.stage,))
    if receipt is not None and found_in_shards(media, receipt) is not None:
        remedy = "a sound shard has the same bytes, which a repair copies back"
    elif source is None and stored.commit.stage != "ingest":
        remedy = f"`dmforge run` makes it again, in {stored.commit.stage}"
    elif source is not None and (is_remote(source.path) or Path(source.path).is_file()):
        remedy = f"a repair has it rendered again from {source.path}"
    else:
        remedy, repair = "bring its file again: `dmforge ingest PATH`, and verify anew", None
    since = "" if path == media.receipt else written_with(media.receipt, root)
    return WorkspaceDefect(str(path.relative_to(root)), reason, remedy, since, show(Video.kind, stored.video), repair=repair)


@dataclass(frozen=True, slots=True)
class ShardCopies:
    """Both renditions of a video in a shard."""

    shard: Path
    row: VideoIndexRow

    def write(self, media: Media) -> None:
        """Copy both to where they belong."""
        with self.shard.open("rb") as shard_file:
            for path, offset, size_bytes in (
                (media.coarse, self.row.coarse_offset, self.row.coarse_size),
                (media.grid, self.row.grid_offset, self.row.grid_size),
            ):
                write_bytes(path, read_range(shard_file, offset, size_bytes))


def found_in_shards(media: Media, receipt: Receipt) -> ShardCopies | None:
    """The renditions of a receipt in a shard, where their bytes are those of the receipt."""
    for index_path in sorted(media.workspace.shards.glob(f"*/*/{INDEX}")):
        try:
            row = find_row(index_path, base32(media.video))
            if row is None or (row.coarse_sha256, row.grid_sha256) != (receipt.coarse_sha256, receipt.grid_sha256):
                continue
            with (index_path.parent / row.shard).open("rb") as shard_file:
                coarse = sha256_of_range(shard_file, row.coarse_offset, row.coarse_size)
                grid = sha256_of_range(shard_file, row.grid_offset, row.grid_size)
        except (DmforgeError, OSError):
            continue  # damaged shards are named by their own check
        if (coarse, grid) == (receipt.coarse_sha256, receipt.grid_sha256):
            return ShardCopies(index_path.parent / row.shard, row)
    return None
