"""Renditions hold the frames that were asked for, at the size at which they are shown; every reader sees the same pixels."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import pytest
from typer.testing import CliRunner

from dmforge import cli
from dmforge.curation.io.atomic import TEMPORARY
from dmforge.curation.video.decoders.decord import Decord
from dmforge.curation.video.decoders.pyav import PyAV
from dmforge.curation.video.media import require_clips
from dmforge.curation.video.probe import probe
from dmforge.curation.video.read_frames import read_coarse, read_grid
from dmforge.curation.video.renditions import COARSE, COARSE_RATE, GRID, RenditionPlan, make_renditions
from dmforge.curation.video.timeline import read_timeline
from dmforge.curation.video.unusable import UnusableVideo
from dmforge.curation.workspace_folder import WorkspaceFolder
from dmforge.generators.synthetic.worlds.rasterize import read_timecode
from dmforge.schemas.clips import Clips
from dmforge.schemas.errors import InputError, LakeError
from dmforge.schemas.frames import GRID_FPS
from dmforge.schemas.looks import Look, Window
from dmforge.schemas.records import Video
from dmforge.schemas.sizes import Size
from tests.support.barcodes import CASES, Case, write

NAMES = (
    "constant rate",
    "variable rate with a hole",
    "open GOP",
    "edit list",
    "turned by 90",
    "10-bit",
    "VP9",
    "MPEG-TS",
    "one frame",
)
CHOSEN = [case for case in CASES if case.name in NAMES]
SIZE = Size(96, 64)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("renditions")


def rendered(case: Case, folder: Path, size: Size = SIZE) -> tuple[Path, Path, Video]:
    """The coarse rendition and the grid of a case."""
    coarse, grid = folder / f"{case.name} coarse.mp4", folder / f"{case.name} grid.mp4"
    source = write(case, folder)
    timeline = read_timeline(source)
    video = probe(timeline).as_video("00" * 32, 1)
    clips = Clips()
    wanted = [
        RenditionPlan(coarse, clips.coarse(video).times_s, size, COARSE_RATE, COARSE),
        RenditionPlan(grid, clips.grid_times_s(video), size, Fraction(GRID_FPS), GRID),
    ]
    make_renditions(timeline, wanted)
    return coarse, grid, video


@pytest.mark.parametrize("case", CHOSEN, ids=lambda case: case.name)
def test_every_frame_of_a_rendition_is_the_one_on_screen_at_its_time(case: Case, folder: Path) -> None:
    coarse, grid, video = rendered(case, folder)
    plan = Clips().coarse(video)
    found = [read_timecode(frame) for frame in read_coarse(coarse, plan.indices)]
    assert found == [case.on_screen(time_s) for time_s in plan.times_s]
    times = Clips().grid_times_s(video)
    found = [read_timecode(frame) for frame in read_grid(grid, range(len(times)))]
    assert found == [case.on_screen(time_s) for time_s in times]


@pytest.mark.parametrize(
    "fps", [Fraction(1), Fraction(2), Fraction(3), Fraction(4), Fraction(6), Fraction(12), Fraction(5), Fraction(7, 2)]
)
def test_a_look_reads_the_frames_that_its_stamps_speak_of(fps: Fraction, folder: Path) -> None:
    case = next(case for case in CASES if case.name == "constant rate")
    _, grid, video = rendered(case, folder)
    for window in (Window(0, 200), Window(33, 187), Window(110, 240), Window(7, 47)):
        plan = Clips().look(video, Look(window, fps))
        assert plan.snapped == ((GRID_FPS / min(fps, Fraction(GRID_FPS))).denominator != 1)
        assert all(time == Fraction(index, GRID_FPS) for time, index in zip(plan.times_s, plan.indices, strict=True))
        found = [read_timecode(frame) for frame in read_grid(grid, plan.indices)]
        assert found == [case.on_screen(time_s) for time_s in plan.times_s]


def test_decord_and_pyav_see_the_same_pixels(folder: Path) -> None:
    case = next(case for case in CASES if case.name == "B-frames")
    coarse, grid, video = rendered(case, folder, Size(128, 96))
    times = [Fraction(index, GRID_FPS) for index in (0, 3, 4, 11, 12, 13, 25)]
    clips = [decoder.read(grid, times).frames for decoder in (PyAV(), Decord())]
    own = read_grid(grid, (0, 3, 4, 11, 12, 13, 25))
    assert len({hashlib.sha256(frames.tobytes()).hexdigest() for frames in (*clips, own)}) == 1
    indices = Clips().coarse(video).indices
    times = [index / COARSE_RATE for index in indices]
    clips = [decoder.read(coarse, times).frames for decoder in (PyAV(), Decord())]
    assert len({hashlib.sha256(frames.tobytes()).hexdigest() for frames in (*clips, read_coarse(coarse, indices))}) == 1


def test_the_same_file_gives_the_same_bytes(folder: Path, tmp_path: Path) -> None:
    case = replace(next(case for case in CASES if case.name == "constant rate"), width=64, height=64)
    made = [[path.read_bytes() for path in rendered(case, tmp_path, Size(64, 64))[:2]] for _ in range(20)]
    assert all(one == made[0] for one in made)  # with x264's mbtree about one in three differs


def test_the_grid_has_a_closed_gop_each_second_and_no_frame_leans_on_a_b_frame(folder: Path) -> None:
    case = next(case for case in CASES if case.name == "a very long GOP")
    _, grid, _ = rendered(case, folder)
    timeline = read_timeline(grid)
    assert [timeline.time_s(key) for key in timeline.key_pts] == list(range(20))
    assert not timeline.has_leading
    assert grid.read_bytes().index(b"moov") < grid.read_bytes().index(b"mdat")


def test_frames_are_read_in_any_order_and_twice(folder: Path) -> None:
    case = next(case for case in CASES if case.name == "a very long GOP")
    _, grid, _ = rendered(case, folder)
    indices = (200, 3, 3, 90, 0, 239)
    assert [read_timecode(frame) for frame in read_grid(grid, indices)] == [
        case.on_screen(Fraction(i, GRID_FPS)) for i in indices
    ]
    with pytest.raises(LakeError, match="has no frame 240"):
        read_grid(grid, (5, 240))


def test_nothing_appears_where_a_file_turns_out_to_be_damaged(tmp_path: Path) -> None:
    case = next(case for case in CASES if case.name == "damaged middle")
    with pytest.raises(UnusableVideo, match="damaged"):
        rendered(case, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["damaged middle.mp4"]
    assert not list(tmp_path.glob(f"*{TEMPORARY}"))


def test_a_workspace_refuses_other_clips_than_its_media_were_made_for(tmp_path: Path) -> None:
    workspace = WorkspaceFolder(tmp_path)
    require_clips(workspace, Clips())
    require_clips(workspace, Clips())
    with pytest.raises(InputError, match=r"other clips: look_tokens") as caught:
        require_clips(workspace, Clips(look_tokens=1))
    assert "hint: put the old values back" in str(caught.value)


# the commands


def told(*words: str, code: int = 0) -> str:
    result = CliRunner().invoke(cli.app, list(words))
    assert result.exit_code == code, result.output
    return result.stdout if code == 0 else result.stderr


def test_probe_says_what_each_file_is(folder: Path) -> None:
    good, turned, bad = (
        write(next(c for c in CASES if c.name == name), folder) for name in ("constant rate", "turned by 90", "text")
    )
    found = json.loads(told("probe", str(good), str(turned), str(bad), "--json"))
    keys = {"path", "ok", "reason", "duration", "fps", "width", "height", "codec", "rotation"}
    assert all(one.keys() == keys for one in found)
    assert [one["ok"] for one in found] == [True, True, False]
    first, second, third = found
    assert (first["duration"], first["fps"], first["width"], first["height"], first["codec"]) == (2.4, 25.0, 128, 96, "h264")
    assert (second["width"], second["height"], second["rotation"]) == (128, 96, 90)
    assert third["reason"].startswith("no video stream") or third["reason"].startswith("not a video")


def test_frames_are_those_that_training_would_cut(folder: Path) -> None:
    case = next(case for case in CASES if case.name == "constant rate")
    path = str(write(case, folder))
    found = json.loads(told("frames", path, "--span", "0.5", "1.5", "--fps", "4", "--json"))
    assert found["times"] == [0.5, 0.75, 1.0, 1.25]
    assert found["pts"] == [0.48, 0.72, 1.0, 1.24]
    assert len(set(found["sha256"])) == 4
    assert (found["backend"], found["size"]) == ("pyav", [128, 96])
    assert (
        json.loads(told("frames", path, "--span", "0.5", "1.5", "--fps", "4", "--backend", "decord", "--json"))["pts"]
        == found["pts"]
    )
    exact = json.loads(told("frames", path, "--span", "0.33", "1.33", "--fps", "2", "--exact", "--json"))
    assert exact["times"] == [0.33, 0.83]
    assert len(json.loads(told("frames", path, "--coarse", "--json"))["times"]) == 4
    assert "did you mean 'pyav'" in told("frames", path, "--coarse", "--backend", "pyva", code=2)
    assert "begins after the video ends" in told("frames", path, "--span", "9", "10", code=2)
    assert "either --span or --coarse" in told("frames", path, code=2)


@pytest.mark.slow
@pytest.mark.real_data
def test_real_clips_are_read_frame_by_frame_or_refused(real_data: Path, tmp_path: Path) -> None:
    """Frames that are reached by seeking are those that decoding from the beginning gives."""
    reasons: dict[str, str] = {}
    for path in sorted((real_data / "videos").iterdir()):
        try:
            timeline = read_timeline(path)
            times = [timeline.duration_s * share / 7 for share in (6, 2, 5, 0)]
            alone = [PyAV().read(path, [time_s], Size(64, 64)) for time_s in times]
            together = PyAV().read(path, times, Size(64, 64))
        except UnusableVideo as error:
            reasons[path.name] = error.reason
            continue
        for one, frame, shown, time_s in zip(alone, together.frames, together.shown_s, times, strict=True):
            assert (one.frames[0] == frame).all(), path.name
            assert one.shown_s[0] == shown <= time_s
    assert reasons == {"mozilla__mp4parse-rust__no_timescale.mp4": "damaged", "dmlc__decord__corrupted.mp4": "damaged"}


def test_a_disk_that_refuses_is_said(tmp_path: Path) -> None:
    source = write(next(case for case in CASES if case.name == "constant rate"), tmp_path)
    timeline = read_timeline(source)
    with pytest.raises(LakeError, match="the disk refused"):
        make_renditions(timeline, [RenditionPlan(Path("/proc/nowhere/x.mp4"), (Fraction(0),), SIZE, COARSE_RATE, COARSE)])
