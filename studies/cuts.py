"""Which finds the cuts of a video better: a jump between coarse frames, pinned down on the grid, or PySceneDetect?

Parts of many videos are spliced into longer ones, so every cut is known; worlds whose backdrops stand still or drift, and, with
`--videos`, real clips (whose own cuts count as wrong where a method finds them: read that line for what is missed).
PySceneDetect looks at every frame of the file, ours at the renditions that are there anyway. Needs `pip install scenedetect
opencv-python-headless`.
"""

from __future__ import annotations

import argparse
import io
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import redirect_stderr
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from random import Random

from rich.console import Console

from dmforge.commands import intake, run
from dmforge.curation.lake.commits import Lake
from dmforge.curation.lake.views import LakeView
from dmforge.curation.sources.source_info import SourceInfo
from dmforge.curation.video import shot_detection as cuts
from dmforge.curation.video.encode_spliced import FrameRun, splice
from dmforge.curation.video.ingest import ensure_renditions
from dmforge.curation.video.media import Media
from dmforge.curation.video.probe import probe
from dmforge.curation.video.timeline import read_timeline
from dmforge.curation.workspace_folder import WorkspaceFolder
from dmforge.generators.synthetic.worlds.imagine import LEVELS
from dmforge.generators.synthetic.worlds.world_folder import WorldSettings, make_worlds
from dmforge.recipe import read_recipe
from dmforge.schemas.clips import Clips
from dmforge.schemas.frames import GRID_FPS
from dmforge.schemas.records import Video
from dmforge.schemas.sizes import Size
from tests.support.tables import show

RECIPE = 'name = "cuts"\n[stages.ingest]\n'
CLIPS = Clips()
TOLERANCE = 1
"""Frames of the grid by which a cut may be off."""


@dataclass(frozen=True, slots=True)
class Made:
    """A spliced file, and where its parts begin."""

    path: Path
    media: Media
    video: Video
    cuts: tuple[int, ...]


def lake_of(folder: Path, videos: Sequence[str]) -> tuple[WorkspaceFolder, list[Video]]:
    workspace = WorkspaceFolder(folder)
    workspace.inputs.mkdir(parents=True)
    workspace.recipe.write_text(RECIPE)
    intake.add_videos(workspace, "cuts", list(videos), SourceInfo())
    list(run.run(workspace, Console(quiet=True), "cuts"))
    view = LakeView(Lake(workspace), read_recipe(workspace.recipe).stages)
    return workspace, view.all_rows(Video)


def spliced(workspace: WorkspaceFolder, videos: Sequence[Video], folder: Path, count: int, size: Size) -> list[Made]:
    """So many files of twelve parts each, 2 to 8 s long."""
    made: list[Made] = []
    for number in range(count):
        draw = Random(f"cuts {number}")
        pieces: list[FrameRun] = []
        for video in draw.sample(videos, min(12, len(videos))):
            grid_frames = len(CLIPS.grid_times_s(video))
            frames = min(grid_frames, draw.randrange(2 * GRID_FPS, 8 * GRID_FPS))
            first = draw.randrange(grid_frames - frames + 1)
            pieces.append(FrameRun(Media(workspace, video.id), first, first + frames))
        path = folder / f"{number}.mp4"
        splice(pieces, path, size)
        data = path.read_bytes()
        timeline = read_timeline(path)
        video = probe(timeline).as_video(sha256(data).hexdigest(), len(data))
        media = Media(workspace, video.id)
        ensure_renditions(media, timeline, video, CLIPS)
        starts = tuple(sum(piece.frames for piece in pieces[:at]) for at in range(1, len(pieces)))
        made.append(Made(path, media, video, starts))
    return made


def by_coarse_jumps(made: Made) -> list[int]:
    return list(cuts.cuts(made.media, made.video, CLIPS))


def by_pyscenedetect(kind: str) -> Callable[[Made], list[int]]:
    """One of its detectors, as it comes."""
    from scenedetect import AdaptiveDetector, ContentDetector, detect  # pyright: ignore

    def find_cuts(made: Made) -> list[int]:
        detector = ContentDetector() if kind == "content" else AdaptiveDetector()  # pyright: ignore
        with redirect_stderr(io.StringIO()):
            scenes = detect(str(made.path), detector)  # pyright: ignore
        return [round(start.seconds * GRID_FPS) for start, _ in scenes[1:]]  # pyright: ignore

    return find_cuts


def measured(made: Sequence[Made], find: Callable[[Made], list[int]]) -> tuple[float, float, float]:
    """The share of true cuts that were found, the share of those found that are true, and the CPU seconds a minute of video."""
    true = matched = detected = 0
    began = time.process_time()
    for file in made:
        frames = find(file)
        hit = sum(any(abs(frame - cut) <= TOLERANCE for frame in frames) for cut in file.cuts)
        true, matched, detected = true + len(file.cuts), matched + hit, detected + len(frames)
    minutes = sum(file.video.duration_cs for file in made) / 6000
    return matched / true, matched / max(1, detected), (time.process_time() - began) / minutes


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, default=10)
    parser.add_argument("--videos", type=Path, help="a folder of real clips")
    arguments = parser.parse_args()
    methods = {
        "coarse jumps, pinned on the grid": by_coarse_jumps,
        "PySceneDetect, ContentDetector": by_pyscenedetect("content"),
        "PySceneDetect, AdaptiveDetector": by_pyscenedetect("adaptive"),
    }
    rows: list[list[object]] = []
    with tempfile.TemporaryDirectory(prefix="dmforge-cuts-") as name:
        folder = Path(name)
        subjects: dict[str, list[str]] = {}
        for level in (0, 6):
            worlds = folder / f"level{level}"
            make_worlds(worlds, WorldSettings(videos=30, knobs=LEVELS[level], width=128, height=96))
            subjects[f"worlds, level {level}"] = [str(worlds / "videos")]
        if arguments.videos:
            subjects["real clips"] = [str(arguments.videos)]
        for subject, places in subjects.items():
            place = folder / subject.replace(" ", "-")
            workspace, videos = lake_of(place, places)
            videos = [video for video in videos if video.duration_cs >= 400]
            size = Size(128, 96) if "worlds" in subject else Size(320, 192)
            made = spliced(workspace, videos, place, arguments.files, size)
            for method, find in methods.items():
                recall, precision, cpu_s = measured(made, find)
                rows.append([subject, method, f"{recall:.3f}", f"{precision:.3f}", f"{cpu_s:.2f}"])
    videos = f" --videos {arguments.videos.name}" if arguments.videos else ""
    show(
        "Cuts between parts of 2 to 8 s",
        f"python -m studies.cuts --files {arguments.files}{videos}",
        ["videos", "method", "found", "true of those found", "CPU s a minute of video"],
        rows,
    )


if __name__ == "__main__":
    main()
