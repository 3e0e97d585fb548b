"""Videos by their names within folders that someone chose to serve; no name leads to anything else."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Protocol

from dmforge.commands.readable_recipe import readable_recipe
from dmforge.curation.shards.corpus import Corpus
from dmforge.curation.shards.folders import MANIFEST
from dmforge.curation.sources.videos import SUFFIXES
from dmforge.curation.video.isolated_probe import inspect_file
from dmforge.curation.video.media import Media, kept_clips
from dmforge.curation.workspace_folder import WorkspaceFolder
from dmforge.generators.file_footage import FileFootage
from dmforge.generators.look_tool.crop_video import LookSource
from dmforge.generators.rendition_footage import GridRendition
from dmforge.schemas.clips import Clips
from dmforge.schemas.errors import InputError
from dmforge.schemas.records import Video

LIST_HINT = "take a name from list_videos"


@dataclass(frozen=True, slots=True)
class ServedVideo:
    """A video that was asked for by its name."""

    name: str
    source: LookSource
    duration_s: float


class VideoFolder(Protocol):
    """A folder whose videos are served."""

    def names(self) -> Iterator[str]:
        """The name of each video, from the folder on."""
        ...

    def open(self, name: str) -> tuple[LookSource, float] | None:
        """A video and its duration in seconds; None where the folder has none of this name."""
        ...


class ServedFolders:
    """Folders of video files, of shards, and workspaces. A name begins with that of its folder: `lectures/monday/1.mp4`."""

    def __init__(self, roots: Sequence[Path], clips: Clips) -> None:
        """`clips` is how looks at files are cut; shards and workspaces have settings of their own."""
        self._folders: dict[str, VideoFolder] = {}
        for root in roots:
            folder_name = root.resolve().name
            if not root.is_dir():
                raise InputError("there is no such folder", where=str(root), hint="name folders of videos")
            if folder_name in self._folders:
                hint = "rename one of them, or serve it from another process"
                raise InputError(f"two folders are called {folder_name!r}", where=str(root), hint=hint)
            self._folders[folder_name] = _open_folder(root, clips)

    def names(self) -> Iterator[str]:
        for folder_name, folder in self._folders.items():
            yield from (f"{folder_name}/{name}" for name in folder.names())

    def open(self, name: str) -> ServedVideo:
        """The video of this name. Where there is none, or it lies outside, the answer is the same."""
        folder_name, _, rest = name.partition("/")
        folder = self._folders.get(folder_name)
        opened = folder.open(rest) if folder is not None and rest else None
        if opened is None:
            raise InputError("there is no video of this name", where=name[:200], hint=LIST_HINT)
        return ServedVideo(name, *opened)


def _open_folder(root: Path, clips: Clips) -> VideoFolder:
    if (root / "recipe.toml").is_file():
        return _Workspace(WorkspaceFolder(root).require())
    return _Shards(Corpus(root)) if (root / MANIFEST).is_file() else _Files(Path(os.path.realpath(root)), clips)


@dataclass(frozen=True)
class _Files:
    """Video files, however deep. Links that lead out of the folder lead nowhere."""

    root: Path
    clips: Clips

    def names(self) -> Iterator[str]:
        for folder, _, file_names in os.walk(self.root):
            relative_names = [os.path.relpath(os.path.join(folder, file_name), self.root) for file_name in sorted(file_names)]
            yield from (name for name in relative_names if self._path_of(name) is not None)

    def open(self, name: str) -> tuple[LookSource, float] | None:
        path = self._path_of(name)
        if path is None:
            return None
        report = inspect_file(path)
        if report.duration is None:
            raise InputError(report.reason, where=name, hint="name another one, or bring the file again")
        return FileFootage(path, self.clips), report.duration

    def _path_of(self, name: str) -> Path | None:
        """The file itself, behind all links; None where it is no video file inside the folder."""
        try:
            path = Path(os.path.realpath(self.root / name))
            is_inside = path.is_relative_to(self.root) and path.suffix.lower() in SUFFIXES
            return path if is_inside and path.is_file() else None
        except (OSError, ValueError):  # no disk takes such a name
            return None


@dataclass(frozen=True)
class _Shards:
    """The videos of a packed corpus, by their keys."""

    corpus: Corpus

    @cached_property
    def _numbers(self) -> dict[str, int]:
        return {self.corpus.video_key(number): number for number in range(self.corpus.video_count)}

    def names(self) -> Iterator[str]:
        yield from self._numbers

    def open(self, name: str) -> tuple[LookSource, float] | None:
        if name not in self._numbers:
            return None
        packed_video = self.corpus.video(self._numbers[name])
        video = packed_video.video.as_record()
        return GridRendition(video, self.corpus.clips, packed_video.grid), video.duration_cs / 100


@dataclass(frozen=True)
class _Workspace:
    """The videos of a workspace, by their ids."""

    workspace: WorkspaceFolder

    @cached_property
    def _videos(self) -> dict[str, Video]:
        from dmforge.curation.lake.commits import Lake
        from dmforge.curation.lake.views import LakeView

        with self.workspace.reading():
            view = LakeView(Lake(self.workspace), readable_recipe(self.workspace).stages)
            return {str(video): video for video in view.all_rows(Video)}

    def names(self) -> Iterator[str]:
        yield from self._videos

    def open(self, name: str) -> tuple[LookSource, float] | None:
        video, clips = self._videos.get(name), kept_clips(self.workspace)
        if video is None or clips is None:
            return None
        return GridRendition(video, clips, Media(self.workspace, video.id).grid), video.duration_cs / 100
