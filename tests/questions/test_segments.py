"""A video is cut where its shots end, and what goes on across a part's end is one event."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest
from rich.console import Console

from dmforge.commands import intake, run
from dmforge.curation.lake.commits import Lake
from dmforge.curation.lake.views import LakeView
from dmforge.curation.sources.source_info import SourceInfo
from dmforge.curation.video.media import Media
from dmforge.curation.video.shot_detection import cuts
from dmforge.curation.workspace_folder import WorkspaceFolder
from dmforge.generators.stages.segments import Event, Segment, joined, segments
from dmforge.recipe import read_recipe
from dmforge.schemas.clips import Clips
from dmforge.schemas.looks import Window
from dmforge.schemas.records import Video
from tests.support.films import shots, write_film


@pytest.mark.slow
def test_cuts_are_found_to_the_frame_however_sparse_the_coarse_clip_is(tmp_path: Path) -> None:
    place = WorkspaceFolder(tmp_path / "ws")
    place.inputs.mkdir(parents=True)
    place.recipe.write_text('name = "cuts"\n[stages.ingest]\n')
    films = tmp_path / "films"
    films.mkdir()
    begins = {n: write_film(films / f"{n}.mp4", shots(n, 10)) for n in range(3)}
    intake.add_videos(place, "cuts", [str(films)], SourceInfo())
    list(run.run(place, Console(quiet=True), "cuts"))
    view = LakeView(Lake(place), read_recipe(place.recipe).stages)
    videos = view.all_rows(Video)
    for clips in (Clips(), Clips(coarse_frames=8)):
        found = sorted(cuts(Media(place, video.id), video, clips) for video in videos)
        assert found == sorted(map(tuple, begins.values()))


@pytest.mark.parametrize(
    ("found", "duration_cs", "bounds"),
    [
        ((), 900, [0, 900]),
        ((), 2000, [0, 1000, 2000]),
        ((), 2500, [0, 833, 1666, 2500]),
        ((60,), 1200, [0, 500, 1200]),
        ((60, 66), 1200, [0, 500, 1200]),  # half a second is no shot
        ((6,), 1200, [0, 600, 1200]),
        ((139,), 1200, [0, 600, 1200]),
        ((61,), 1200, [0, 508, 1200]),  # 5.0833 s: a window from 5.08 s on has it first
    ],
)
def test_parts_are_shots_or_pieces_of_them(found: tuple[int, ...], duration_cs: int, bounds: list[int]) -> None:
    parts = segments(found, duration_cs, longest_s=10, shortest_s=1)
    assert [(part.window.start_cs, part.window.end_cs) for part in parts] == list(pairwise(bounds))
    cut_cs = {100 * frame // 12 for frame in found}
    assert [part.goes_on for part in parts] == [part.window.end_cs not in cut_cs | {duration_cs} for part in parts]


RED, BLUE = "a red circle is on screen", "the red circle flashes blue"


def test_what_goes_on_is_one_event_and_what_comes_again_is_two() -> None:
    parts = [Segment(Window(0, 500), True), Segment(Window(500, 1000), False), Segment(Window(1000, 1500), False)]
    seen = [
        [Event(Window(300, 500), RED), Event(Window(400, 420), BLUE)],
        [Event(Window(500, 1000), "the red circle is on the screen"), Event(Window(600, 620), BLUE)],
        [Event(Window(1000, 1200), RED)],  # another shot
    ]
    assert joined(seen, parts) == (
        Event(Window(300, 1000), RED),
        Event(Window(400, 420), BLUE),
        Event(Window(600, 620), BLUE),
        Event(Window(1000, 1200), RED),
    )
