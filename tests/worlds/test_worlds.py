"""Worlds: the same bytes for the same seed, one difficulty a level, and a truth that is in the pixels."""

from __future__ import annotations

import hashlib
import io
import json
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest

from chaos.undisturbed import fingerprint
from dmforge.curation.video.decoders.pyav import PyAV
from dmforge.curation.video.jpeg import from_jpeg, to_jpeg
from dmforge.generators.synthetic.worlds.exact_question import DENSITIES, WorldQuestion
from dmforge.generators.synthetic.worlds.imagine import KNOBS, LATER_CS, LEVELS, SEEN_FROM, WorldKnobs, imagine, knobs_of
from dmforge.generators.synthetic.worlds.measure import measure
from dmforge.generators.synthetic.worlds.rasterize import CELLS, backdrop, draw, read_timecode
from dmforge.generators.synthetic.worlds.render import render
from dmforge.generators.synthetic.worlds.script import FPS, SHAPES, Script, Visit
from dmforge.generators.synthetic.worlds.sight import CLEAR, WorldEye, cells
from dmforge.generators.synthetic.worlds.world_folder import WorldSettings, make_worlds, read_settings
from dmforge.generators.synthetic.worlds.world_questions import questions
from dmforge.schemas.errors import DmforgeError, InputError
from dmforge.schemas.frames import plan_coarse, plan_look
from dmforge.schemas.looks import Look, print_span
from dmforge.schemas.scoring import choice, matches
from dmforge.schemas.sizes import Size


def worlds(level: int, count: int = 60) -> list[Script]:
    return [imagine(seed, knobs_of(level)) for seed in range(count)]


def asked(level: int, count: int = 60) -> list[tuple[Script, WorldQuestion]]:
    return [(script, question) for script in worlds(level, count) for question in questions(script)]


def decoded(file: bytes) -> list[np.ndarray]:
    with av.open(io.BytesIO(file), "r") as container:
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]


def test_the_same_seed_gives_the_same_bytes_in_another_process() -> None:
    script = imagine(7, knobs_of(3))
    code = (
        "import hashlib; from dmforge.generators.synthetic.worlds.imagine import imagine, knobs_of\n"
        "from dmforge.generators.synthetic.worlds.render import render\n"
        "print(hashlib.sha256(render(imagine(7, knobs_of(3)), 64, 64)).hexdigest())"
    )
    environment = {"PYTHONHASHSEED": "7", "TZ": "Asia/Tokyo", "OMP_NUM_THREADS": "3"}
    there = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    assert there.stdout.strip() == hashlib.sha256(render(script, 64, 64)).hexdigest()
    assert render(imagine(8, knobs_of(3)), 64, 64) != render(script, 64, 64)


def test_it_is_h264_on_the_grid_and_every_frame_says_which_it_is() -> None:
    file = render(imagine(1, knobs_of(0)), 96, 64)
    with av.open(io.BytesIO(file), "r") as container:
        stream = container.streams.video[0]
        assert (stream.codec_context.name, stream.average_rate, stream.width, stream.height) == ("h264", FPS, 96, 64)
    assert [read_timecode(picture) for picture in decoded(file)] == list(range(144))


def test_the_timecode_survives_jpeg_and_the_smallest_size(tmp_path: Path) -> None:
    path = tmp_path / "world.mp4"
    path.write_bytes(render(imagine(2, knobs_of(5)), 64, 64))
    times = [Fraction(frame, FPS) for frame in range(144)]
    pictures = from_jpeg(to_jpeg(PyAV().read(path, times, Size(32, 32)).frames))
    assert [read_timecode(picture) for picture in pictures] == list(range(144))


@pytest.mark.parametrize(
    "picture", [np.zeros((64, 64, 3), np.uint8), np.full((64, 64, 3), 255, np.uint8), np.zeros((8, 8, 3), np.uint8)]
)
def test_what_is_no_world_has_no_timecode(picture: np.ndarray) -> None:
    assert read_timecode(picture) is None


def test_a_backdrop_without_a_strip_hardly_ever_reads_as_a_timecode() -> None:
    read = [read_timecode(backdrop(seed, 64, 64)) for seed in range(200)]
    assert sum(found is not None for found in read) < 20
    assert CELLS == 16


def test_level_0_is_one_object_on_whole_seconds() -> None:
    for script in worlds(0, 200):
        (visit,) = script.visits
        assert visit.window.start_cs % 100 == visit.window.end_cs % 100 == 0
        assert 200 <= visit.window.end_cs - visit.window.start_cs <= 400
        assert not script.drifts


def test_each_level_turns_one_more_knob() -> None:
    on = [{name for name in KNOBS if getattr(knobs, name)} for knobs in LEVELS]
    assert [len(names) for names in on] == list(range(len(KNOBS) + 1))
    assert all(easier < harder for easier, harder in pairwise(on))


def alone(script: Script) -> list[Visit]:
    """The stays of objects that are on screen by themselves, without those beside them that cause something."""
    return [
        visit
        for visit in script.visits
        if not any(other.name != visit.name and other.window.start_cs + LATER_CS == visit.window.start_cs
                   and other.window.end_cs == visit.window.end_cs for other in script.visits)
    ]  # fmt: skip


def test_what_causes_a_change_flashes_in_the_frame_of_the_change_and_stands_clear() -> None:
    for script in worlds(len(LEVELS) - 1, 200):
        main = script.visits[0]
        stays = [visit for visit in script.visits if visit.name == main.name]
        beside = [visit for visit in script.visits if visit not in alone(script)]
        assert len(beside) == len(stays) == 2
        for visit, other in zip(stays, beside, strict=True):
            assert visit.deed.turns is not None
            assert visit.first + visit.deed.turns.first == other.first + other.deed.flashes[0].first
            assert other.place[0] - visit.place[0] == 1000
            assert len({visit.colour, other.colour, visit.deed.turns.colour}) == 3


@pytest.mark.parametrize("name", KNOBS)
def test_a_knob_changes_its_own_difficulty_only(name: str) -> None:
    scripts = [imagine(seed, WorldKnobs(**{name: True})) for seed in range(100)]
    visits = [(script.visits[0], visit) for script in scripts for visit in alone(script)[1:]]
    found = {
        "tenths": any(visit.window.start_cs % 100 for script in scripts for visit in alone(script)),
        "returns": any(visit.name == main.name for main, visit in visits),
        "bystander": any(visit.name != main.name and not visit.deed.flashes for main, visit in visits),
        "decoy": any(visit.name != main.name and bool(visit.deed.flashes) for main, visit in visits),
        "drifts": any(script.drifts for script in scripts),
        "causes": any(len(alone(script)) < len(script.visits) for script in scripts),
    }
    assert found == {other: other == name for other in KNOBS}


@pytest.mark.parametrize("level", range(len(LEVELS)))
def test_windows_lie_inside_and_apart(level: int) -> None:
    for script in worlds(level, 200):
        windows = sorted((visit.window for visit in alone(script)), key=lambda window: window.start_cs)
        assert windows[0].start_cs >= 50
        assert windows[-1].end_cs <= script.duration_cs - 50
        assert all(earlier.end_cs + 50 <= later.start_cs for earlier, later in pairwise(windows))
        assert all(window.start_cs % 10 == window.end_cs % 10 == 0 for window in windows)


@pytest.mark.parametrize("level", range(len(LEVELS)))
def test_gold_answers_are_exact_and_well_formed(level: int) -> None:
    for script, question in asked(level):
        if question.kind == "grounding":
            assert question.answer == print_span(question.windows[0])
        elif question.options:
            assert len(set(question.options)) == len(question.options) == 4
            assert choice(question.answer, question.options) == question.options.index(question.answer)
        assert not any(matches(answer, question.answer) for answer, _ in question.rivals)
        assert question.answer not in question.text.split()
        assert script.duration_cs >= max((window.end_cs for window in question.windows), default=0)


def test_all_kinds_needs_and_labels_occur() -> None:
    easy, hard = asked(0, 100), asked(4, 100)
    assert {question.kind for _, question in easy} == {"grounding", "mcq", "grounded_mcq", "open"}
    assert {question.needs for _, question in hard if len(question.windows) > 1} == {"any", "all"}
    labels = Counter((question.from_text, question.from_coarse(script)) for script, question in easy)
    assert labels[True, False] > 20  # from the text alone
    assert labels[False, True] > 20  # from the coarse clip alone
    assert labels[False, False] > 20  # worth a look
    lowest = Counter(question.lowest_fps(script) for script, question in easy)
    assert all(lowest[Fraction(fps)] > 3 for fps in SEEN_FROM)


def test_some_events_last_one_frame_at_6_fps_and_others_seconds() -> None:
    flashes = [flash for script in worlds(0, 100) for visit in script.visits for flash in visit.deed.flashes]
    assert {2, 12} <= {flash.stop - flash.first for flash in flashes}
    single = [
        (script, question) for script, question in asked(0) if question.lowest_fps(script) == 6 and question.needs == "any"
    ]
    for script, question in single:
        frames = plan_look(Look(question.look, Fraction(6)), script.duration_s).indices
        rival = question.rivals[0][1]
        assert sum(script.scene(frame) != rival.scene(frame) for frame in frames) <= len(script.visits[0].deed.flashes)


@pytest.mark.parametrize("level", range(len(LEVELS)))
def test_density_and_labels_are_what_the_pixels_show(level: int) -> None:
    """Looked at without the code that wrote the truth: does any frame of the clip differ from the rival's picture of it?"""
    for script in worlds(level, 4):
        file = render(script, 64, 64)
        pictures, truth = decoded(file), measure(script, questions(script), file)
        for question, measured in zip(questions(script), truth, strict=True):
            if question.from_text:
                assert (measured.lowest_fps, measured.from_coarse) == (None, False)
                continue
            seen = [
                fps
                for fps in DENSITIES
                if shows(script, question, pictures, plan_look(Look(question.look, fps), script.duration_s).indices)
            ]
            assert measured.lowest_fps == min(seen)
            coarse = [int(time * FPS) for time in plan_coarse(script.duration_s).times_s]
            assert measured.from_coarse == shows(script, question, pictures, coarse)


def shows(script: Script, question: WorldQuestion, pictures: list[np.ndarray], frames: list[int] | tuple[int, ...]) -> bool:
    def nearer(frame: int, rival: Script) -> bool:
        ours, theirs = (draw(world, frame, 64, 64).astype(int) for world in (script, rival))
        where = np.abs(ours - theirs).max(axis=2) > 60
        picture = pictures[frame].astype(int)
        return bool(where.any() and np.abs(picture - ours)[where].mean() < np.abs(picture - theirs)[where].mean() / 2)

    return all(any(nearer(frame, rival) for frame in frames) for _, rival in question.rivals)


def test_a_file_that_does_not_show_its_script_is_found_out() -> None:
    script = next(script for script, question in asked(0) if "flash" in question.text)
    visit = script.visits[0]
    other = script.replacing(visit, replace(visit, shape=SHAPES[SHAPES.index(visit.shape) - 1]))
    asked_of_other = questions(other)
    with pytest.raises(DmforgeError, match="does not show what its script says"):
        measure(other, asked_of_other, render(script, 64, 64))
    with pytest.raises(DmforgeError, match="not rendered frame by frame"):
        measure(script, questions(script), render(imagine(0, knobs_of(0), 20), 64, 64))


def test_pictures_of_two_worlds_are_far_apart_and_two_encodings_are_not(tmp_path: Path) -> None:
    script, other = imagine(1, knobs_of(5)), imagine(2, knobs_of(5))
    path = tmp_path / "world.mp4"
    path.write_bytes(render(script, 64, 64))
    pictures = from_jpeg(to_jpeg(PyAV().read(path, [Fraction(frame, 2) for frame in range(20)], Size(32, 32)).frames))
    eye, stranger = WorldEye(script, 64, 64), WorldEye(other, 64, 64)
    near = [np.abs(cells(picture) - eye.expected(6 * number)).mean() for number, picture in enumerate(pictures)]
    far = [np.abs(cells(picture) - stranger.expected(6 * number)).mean() for number, picture in enumerate(pictures)]
    assert max(near) < 8 < 15 < min(far)
    assert max(near) < CLEAR


def test_a_folder_is_made_once_and_mended_if_it_was_cut_short(tmp_path: Path) -> None:
    settings = WorldSettings(videos=5, knobs=knobs_of(2), seed=3)
    make_worlds(tmp_path / "a", settings)
    whole = fingerprint(tmp_path / "a")
    assert len(whole) == 7
    make_worlds(tmp_path / "a", settings)
    (tmp_path / "a/truth.jsonl").unlink()
    (tmp_path / "a/.worlds").touch()  # so a kill leaves it
    (tmp_path / "a/videos/world-000002.mp4").unlink()
    make_worlds(tmp_path / "a", settings)
    assert fingerprint(tmp_path / "a") == whole
    make_worlds(tmp_path / "a", WorldSettings(videos=3, knobs=knobs_of(2), seed=3))  # fewer: the others go
    make_worlds(tmp_path / "b", WorldSettings(videos=3, knobs=knobs_of(2), seed=3))
    assert fingerprint(tmp_path / "a") == fingerprint(tmp_path / "b")
    assert read_settings(tmp_path / "b") == WorldSettings(videos=3, knobs=knobs_of(2), seed=3)


def test_the_truth_file_labels_every_question(tmp_path: Path) -> None:
    make_worlds(tmp_path, WorldSettings(videos=6))
    lines = [json.loads(line) for line in (tmp_path / "truth.jsonl").read_text().splitlines()[1:]]
    tasks = [json.loads(line) for line in (tmp_path / "tasks.jsonl").read_text().splitlines()]
    assert [hashlib.sha256((tmp_path / "videos" / line["video"]).read_bytes()).hexdigest() for line in lines] == [
        line["sha256"] for line in lines
    ]
    asked = [(line["video"], question) for line in lines for question in line["questions"]]
    assert [(video, question["question"], question["answer"]) for video, question in asked] == [
        (task["video"], task["question"], task["answer"]) for task in tasks
    ]
    assert all(set(question) >= {"lowest_fps", "from_coarse", "from_text", "windows"} for _, question in asked)
    assert not any("lowest_fps" in task or "from_text" in task for task in tasks)  # an annotation file gives nothing away


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"width": 50}, "width"),
        ({"videos": 0}, "videos"),
        ({"duration_s": 5}, "duration_s"),
        ({"duration_s": 999}, "duration_s"),
    ],
)
def test_settings_that_cannot_be_are_refused(change: dict[str, int], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        WorldSettings(**{"videos": 1, **change})


def test_a_folder_that_is_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "truth.jsonl").write_text("my own truth\n")
    with pytest.raises(InputError, match="the folder holds no worlds"):
        make_worlds(tmp_path, WorldSettings(videos=1))
    assert (tmp_path / "truth.jsonl").read_text() == "my own truth\n"
    with pytest.raises(InputError, match="no level 9"):
        knobs_of(9)


def test_other_peoples_files_are_never_taken_for_worlds(tmp_path: Path) -> None:
    (tmp_path / "videos").mkdir()
    (tmp_path / "videos/world-cup-final.mp4").write_text("mine")
    (tmp_path / "tasks.jsonl").write_text("mine, too")
    with pytest.raises(InputError, match="something else than worlds"):
        make_worlds(tmp_path, WorldSettings(videos=1))
    assert (tmp_path / "videos/world-cup-final.mp4").read_text() == (tmp_path / "tasks.jsonl").read_text()[:4] == "mine"


def test_a_video_that_was_changed_is_made_again(tmp_path: Path) -> None:
    make_worlds(tmp_path, WorldSettings(videos=2))
    whole = fingerprint(tmp_path)
    (tmp_path / "videos/world-000001.mp4").write_bytes(b"changed")
    make_worlds(tmp_path, WorldSettings(videos=2))
    assert fingerprint(tmp_path) == whole
