"""Worlds with two places: a third of their questions needs a look at both, and who sees one of them is left with a guess."""

from __future__ import annotations

import hashlib
import json
from collections import Counter, defaultdict
from collections.abc import Hashable, Iterable
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal, TypeVar

import pytest
from typer.testing import CliRunner

from chaos.undisturbed import fingerprint
from dmforge.cli import app
from dmforge.curation.lake.commits import Lake
from dmforge.curation.lake.views import LakeView
from dmforge.curation.video.decoders.pyav import PyAV
from dmforge.curation.video.jpeg import to_jpeg
from dmforge.curation.workspace_folder import WorkspaceFolder
from dmforge.generators.synthetic.oracle.behaviour import Behaviour
from dmforge.generators.synthetic.oracle.oracle import Oracle
from dmforge.generators.synthetic.oracle.oracle_process import serving
from dmforge.generators.synthetic.oracle.oracle_request import read_request
from dmforge.generators.synthetic.oracle.planted_defects import KINDRED
from dmforge.generators.synthetic.worlds.exact_question import DENSITIES, WorldQuestion, look_frames
from dmforge.generators.synthetic.worlds.imagine import LEVELS, knobs_of
from dmforge.generators.synthetic.worlds.measure import measure
from dmforge.generators.synthetic.worlds.render import render
from dmforge.generators.synthetic.worlds.script import COLOURS, FPS, Script, Sprite, tells
from dmforge.generators.synthetic.worlds.two_place_questions import guesses
from dmforge.generators.synthetic.worlds.two_places import (
    PLACE_KINDS,
    PlaceKind,
    flash_frame,
    gap_cs,
    has_long_gap,
    hidden_flashes,
    imagine_two_places,
    place_kind,
)
from dmforge.generators.synthetic.worlds.world_folder import WorldSettings, file_name, make_worlds, read_settings
from dmforge.generators.synthetic.worlds.world_questions import questions
from dmforge.generators.teacher.teacher_config import URL
from dmforge.recipe import read_recipe
from dmforge.schemas.errors import DmforgeError, InputError
from dmforge.schemas.frames import plan_coarse, plan_look
from dmforge.schemas.looks import Look, Window
from dmforge.schemas.replies import AnswerReply, Reply, StepReply
from dmforge.schemas.reply_reader import read_reply
from dmforge.schemas.scoring import matches
from dmforge.schemas.sizes import Size
from tests.support.chats import Chat
from tests.support.made_once import made_once
from tests.teachers.billed import dmforge

LEVELS_THAT_DIFFER = (0, 1, 2, 3, 5)
"""Levels 4 and 6 add what these worlds have at any level, and what they never have."""
LOOKS_BY_PLACES = {0: 1, 1: 1, 2: 2}
"""A trajectory has a look even where the overview shows the answer."""


def worlds(level: int, count: int, duration_s: int = 20) -> list[Script]:
    return [imagine_two_places(seed, knobs_of(level), duration_s) for seed in range(count)]


def asked(level: int, count: int, places: int) -> list[tuple[Script, WorldQuestion]]:
    pairs = [(script, question) for script in worlds(level, count) for question in questions(script)]
    return [(script, question) for script, question in pairs if question.places == places]


def colours_of(script: Script) -> tuple[str, str]:
    first, second = (stay.deed.flashes[0].colour for stay in script.visits[:2])
    return first, second


def overview(script: Script, fps: int) -> frozenset[int]:
    return frozenset(int(time_s * FPS) for time_s in plan_coarse(script.duration_s, Fraction(fps)).times_s)


def best_guess(seen_and_answers: Iterable[tuple[Hashable, str]]) -> float:
    """How often somebody is right who always gives the answer that is most frequent, given what is seen."""
    answers_by_sight = defaultdict[Hashable, Counter[str]](Counter)
    for seen, answer in seen_and_answers:
        answers_by_sight[seen][answer] += 1
    right = sum(max(answers.values()) for answers in answers_by_sight.values())
    return right / sum(answers.total() for answers in answers_by_sight.values())


# worlds


@pytest.mark.parametrize("level", LEVELS_THAT_DIFFER)
@pytest.mark.parametrize("duration_s", [20, 21, 37, 170])
def test_no_overview_shows_a_flash_and_every_look_of_4_frames_a_second_does(level: int, duration_s: int) -> None:
    for script in worlds(level, 24, duration_s):
        for visit in script.visits:
            for flash in visit.deed.flashes:
                frames = set(range(visit.first + flash.first, visit.first + flash.stop))
                assert len(frames) == FPS // 4
                assert len({frame // FPS for frame in frames}) == 1  # it happens in one second of the video
                for fps in (1, 2):
                    assert frames.isdisjoint(overview(script, fps))
                shown = [fps for fps in DENSITIES if not frames.isdisjoint(look_frames(script, [visit.window], fps))]
                assert shown == [4, 6, 12]


@pytest.mark.parametrize("level", LEVELS_THAT_DIFFER)
def test_an_object_stays_twice_with_room_around_and_other_objects_once(level: int) -> None:
    gaps = Counter[bool]()
    for script in worlds(level, 200):
        first, second, *others = script.visits
        assert first.name == second.name
        assert [len(other.deed.flashes) for other in others] == ([int(level >= 3)] if level >= 2 else [])
        assert script.drifts == (level >= 5)
        windows = sorted((visit.window for visit in script.visits), key=lambda window: window.start_cs)
        assert windows[0].start_cs >= 50
        assert windows[-1].end_cs <= 1950
        assert all(earlier.end_cs + 50 <= later.start_cs for earlier, later in pairwise(windows))
        lengths = [stay.window.end_cs - stay.window.start_cs for stay in (first, second)]
        assert all(200 <= length <= 300 for length in lengths)
        assert gap_cs(script) >= 2 * max(lengths) if has_long_gap(script) else 200 <= gap_cs(script) < 2 * min(lengths)
        gaps[has_long_gap(script)] += 1
    assert 0.15 < gaps[False] / 200 < 0.35


@pytest.mark.parametrize(("level", "same_as"), [(4, 3), (6, 5)])
def test_levels_that_make_no_sense_with_two_places_add_nothing(level: int, same_as: int) -> None:
    assert worlds(level, 40) == worlds(same_as, 40)
    assert worlds(same_as, 40) != worlds(same_as - 1, 40)


def test_colours_are_half_of_the_time_the_same_and_drawn_freely_where_their_order_is_asked_for() -> None:
    same_by_kind = {kind: list[bool]() for kind in PLACE_KINDS}
    for script in worlds(0, 2000):
        first, second = colours_of(script)
        same_by_kind[place_kind(script)].append(first == second)
        assert script.visits[0].colour not in (first, second)
    for kind, same in same_by_kind.items():
        assert abs(sum(same) / len(same) - (0.2 if kind == "order" else 0.5)) < 0.06


# questions


@pytest.mark.parametrize("level", LEVELS_THAT_DIFFER)
def test_a_third_needs_two_looks_a_third_one_and_a_third_none(level: int) -> None:
    for script in worlds(level, 60):
        first, second = (stay.window for stay in script.visits[:2])
        by_places = {question.places: question for question in questions(script)}
        assert len(by_places) == len(questions(script)) == 3
        assert (by_places[2].needs, by_places[2].windows) == ("all", (first, second))
        assert (by_places[1].needs, by_places[1].windows) in [("any", (first,)), ("any", (second,))]
        assert (by_places[0].needs, by_places[0].windows) == ("any", (first, second))


def test_kinds_are_equally_frequent_and_come_with_either_stay() -> None:
    found = Counter[tuple[str, bool]]()
    for script in worlds(0, 80):
        (one,) = (question for question in questions(script) if question.places == 1)
        found[place_kind(script), one.windows == (script.visits[0].window,)] += 1
    assert found == {(kind, is_first): 10 for kind in PLACE_KINDS for is_first in (True, False)}


def answer_of(script: Script, question: WorldQuestion) -> str:
    """The answer to a question about a world, worked out again from the frames of its script, without the code that asks."""
    text, words = question.text, question.text.replace(":", "").split()
    stay, first, second = script.visits[0], *colours_of(script)
    if text.startswith("Which colours"):
        return f"{first} then {second}"
    if text.startswith("Does"):
        return "yes" if first == second else "no"
    if text.startswith("How many"):
        flashing = [frame for frame in range(script.frames) for sprite in script.scene(frame) if is_flash(script, sprite)]
        return str(flashing[-1] // FPS - flashing[0] // FPS)
    if text.startswith("Which of"):
        colour = words[words.index("is") + 1]
        which = {(True, True): "both", (True, False): "the first", (False, True): "the second"}
        return which.get((first == colour, second == colour), "neither")
    if text.startswith("What"):
        return stay.shape if "shape" in text else stay.colour
    return first if "the first time" in text else second


def is_flash(script: Script, sprite: Sprite) -> bool:
    stay = script.visits[0]
    return sprite.shape == stay.shape and sprite.colour != stay.colour


@pytest.mark.parametrize("level", LEVELS_THAT_DIFFER)
def test_answers_are_exact_and_each_rival_is_a_world_in_which_its_answer_is_right(level: int) -> None:
    for script in worlds(level, 60):
        for question in questions(script):
            assert question.answer == answer_of(script, question)
            assert question.rivals
            for answer, rival in question.rivals:
                assert answer == answer_of(rival, question)
                assert not matches(answer, question.answer)
                assert [visit.window for visit in rival.visits] == [visit.window for visit in script.visits]
                assert rival.visits[2:] == script.visits[2:]


def left_open(script: Script, question: WorldQuestion, frames: frozenset[int]) -> set[str]:
    """The answers that frames leave possible."""
    return {question.answer, *(answer for answer, rival in question.rivals if not tells(script, (rival,), frames))}


@pytest.mark.parametrize("level", LEVELS_THAT_DIFFER)
def test_one_place_alone_leaves_all_answers_open_that_the_other_may_give(level: int) -> None:
    for script, question in asked(level, 80, 2):
        assert question.told_by(script, look_frames(script, question.windows, Fraction(4)))
        for window, other_stay in zip(question.windows, reversed(script.visits[:2]), strict=True):
            seen = look_frames(script, [window], Fraction(12)) | overview(script, 2)
            seconds = len(hidden_flashes(other_stay.window, Fraction(20)))
            expected = {"order": 5, "same": 2, "which": 2, "seconds": seconds}[place_kind(script)]
            assert len(left_open(script, question, seen)) == expected


def test_who_sees_one_place_guesses_the_rest_no_better_than_by_chance() -> None:
    """The best that can be done, counted over many worlds: one place and the question's words, and the most frequent answer."""
    asked_questions = asked(0, 3200, 2)
    for place in (0, 1):
        seen_by_kind: dict[PlaceKind, list[tuple[Hashable, str]]] = {kind: [] for kind in PLACE_KINDS}
        for script, question in asked_questions:
            kind, seen = place_kind(script), colours_of(script)[place]
            seen_by_kind[kind].append((seen in question.text if kind == "which" else seen, question.answer))
        shares = {kind: best_guess(seen_and_answers) for kind, seen_and_answers in seen_by_kind.items()}
        assert shares["order"] < 1 / 5 + 0.06
        assert shares["same"] < 1 / 2 + 0.06
        assert shares["which"] < 1 / 2 + 0.04


def test_a_flash_is_in_each_second_of_its_stay_equally_often() -> None:
    for place in (0, 1):
        found = Counter[tuple[int, int]]()
        for script in worlds(0, 1000):
            stay = script.visits[place]
            seconds = sorted(hidden_flashes(stay.window, Fraction(20)))
            found[len(seconds), seconds.index(flash_frame(stay) // FPS)] += 1
        totals = {length: sum(count for key, count in found.items() if key[0] == length) for length in (2, 3)}
        for (length, _), count in found.items():
            assert abs(count / totals[length] - 1 / length) < 0.06


@pytest.mark.parametrize("level", LEVELS_THAT_DIFFER)
def test_the_overview_shows_what_needs_no_look_and_nothing_of_the_rest(level: int) -> None:
    for script in worlds(level, 80):
        for question in questions(script):
            for fps in (1, 2):
                possible = left_open(script, question, overview(script, fps))
                assert question.told_by(script, overview(script, fps)) == (question.places == 0)
                assert question.places != 1 or len(possible) == 5


def test_a_guess_and_a_planted_wrong_answer_have_the_form_of_the_answer() -> None:
    for script in worlds(0, 80):
        for question in questions(script):
            assert question.answer in (guesses(question.text) or COLOURS)
            assert question.answer.isdecimal() or any(question.answer in similar for similar in KINDRED)
    assert guesses("Which colour does the red circle flash?") == ()


# folders


def test_the_pixels_show_how_many_places_are_needed() -> None:
    script = imagine_two_places(1, knobs_of(3), 20)
    file, asked_questions = render(script, 64, 64), questions(script)
    for question, measured in zip(asked_questions, measure(script, asked_questions, file), strict=True):
        assert measured.places == question.places
        assert measured.look_fps == (Fraction(4),) * (question.places or 0)
        wrong_places = 1 if question.places == 2 else 2
        with pytest.raises(DmforgeError, match="does not show what its script says"):
            measure(script, (replace(question, places=wrong_places),), file)


def test_the_truth_says_places_densities_and_gaps_and_the_tasks_do_not(tmp_path: Path) -> None:
    settings = WorldSettings(videos=8, study=True, looks=2, knobs=knobs_of(2))
    make_worlds(tmp_path, settings)
    assert read_settings(tmp_path) == settings
    lines = [json.loads(line) for line in (tmp_path / "truth.jsonl").read_text().splitlines()[1:]]
    tasks = [json.loads(line) for line in (tmp_path / "tasks.jsonl").read_text().splitlines()]
    asked_questions = [(line["video"], question) for line in lines for question in line["questions"]]
    assert Counter(question["places"] for _, question in asked_questions) == {0: 8, 1: 8, 2: 8}
    for (video, question), task in zip(asked_questions, tasks, strict=True):
        assert (task["video"], task["question"], task["windows"]) == (video, question["question"], question["windows"])
        assert task["needs"] == ("all" if question["places"] == 2 else "any")
        assert task["fps"] == float(question["lowest_fps"]) == (4 if question["places"] else 1)
        assert question["look_fps"] == ["4"] * question["places"]
        assert question["from_coarse"] == (question["places"] == 0)
        assert not {"places", "gap", "look_fps"} & task.keys()
    for number, line in enumerate(lines):
        script = settings.script(number)
        assert (line["gap_s"], line["gap"]) == (gap_cs(script) / 100, "long" if has_long_gap(script) else "short")


PINNED = {
    (1, 0): "8b211822bf34b87521458d56b6c9e2ed411be9a117c2efa32a1feaec0023b683",
    (1, 4): "f8f27d7d45faefac83098574ff71ee3d08a298163058f6c3b4c3098930649a34",
    (2, 0): "1b5f222eb7391d30020194ed9de0b84bd7ca79f3772824ea9728e66112a174f3",
    (2, 5): "a1b24452d27c706e546bc668f9bd8407ca7d114f1cb0c0f029a8a8e1a000f2ff",
}
"""By looks and level."""


@pytest.mark.parametrize(("looks", "level"), PINNED)
def test_study_worlds_are_the_same_bytes_for_ever(looks: Literal[1, 2], level: int, tmp_path: Path) -> None:
    make_worlds(tmp_path, WorldSettings(videos=3, knobs=LEVELS[level], study=True, looks=looks))
    names_and_digests = json.dumps(fingerprint(tmp_path), sort_keys=True)
    assert hashlib.sha256(names_and_digests.encode()).hexdigest() == PINNED[looks, level]


def test_where_there_is_one_look_the_settings_say_nothing_of_it(tmp_path: Path) -> None:
    make_worlds(tmp_path, WorldSettings(videos=1, study=True))
    first_line = json.loads((tmp_path / "truth.jsonl").read_text().splitlines()[0])
    assert first_line.keys() == WorldSettings.model_fields.keys() - {"looks"}
    assert read_settings(tmp_path).looks == 1


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--looks", "2"), "looks = 2 is for study worlds only"),
        (("--looks", "2", "--study", "--longest", "15"), "longest_s = 15 has no room for two looks"),
        (("--looks", "3", "--study"), "less than or equal to 2"),
    ],
)
def test_what_cannot_be_is_refused_by_name(options: tuple[str, ...], said: str, tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["worlds", str(tmp_path / "w"), *options])
    assert done.exit_code == 2
    assert said in " ".join(done.output.replace("│", " ").split())
    assert not (tmp_path / "w").exists()
    with pytest.raises(InputError, match="duration_s = 12 has no room for two looks"):
        WorldSettings(videos=1, study=True, looks=2, duration_s=12)


# the oracle

SETTINGS = WorldSettings(videos=12, study=True, looks=2, knobs=knobs_of(5))
R = TypeVar("R", bound=Reply)
RECIPE = """
name = "test"

[clips]
coarse_fps = "1"
coarse_frames = 64
coarse_tokens = 10
look_frames = 64
look_tokens = 32
look_size = "floor"

[looks]
max_looks = 2

[prices.oracle]
input_usd = 1
output_usd = 4

[stages.ingest]
[stages.import]
[stages.annotate]
model = "oracle"
[stages.citations]
[stages.verify]
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve worlds of the hardest level that differs."""
    options = ("--study", "--looks", 2, "--videos", SETTINGS.videos, "--level", 5)
    return made_once(tmp_path_factory, "two-places", lambda folder: dmforge("worlds", folder / "w", *options)) / "w"


def annotate(worlds_folder: Path, place: Path) -> None:
    """Have the oracle look and answer."""
    (place / "inputs").mkdir(parents=True)
    (place / "recipe.toml").write_text(RECIPE)
    dmforge("ingest", worlds_folder / "videos", "-w", place)
    dmforge("import", "jsonl", worlds_folder / "tasks.jsonl", "-w", place)
    with serving(worlds_folder) as url, pytest.MonkeyPatch.context() as patch:
        patch.setenv(URL, url)
        dmforge("run", "-w", place)


def rows(place: Path, sql: str) -> list[tuple[Any, ...]]:
    stages = read_recipe(place / "recipe.toml").stages
    return LakeView(Lake(WorkspaceFolder(place)), stages).connection.execute(sql).fetchall()


def in_seconds(windows: list[dict[str, int]]) -> list[list[float]]:
    return [[window["start_cs"] / 100, window["end_cs"] / 100] for window in windows]


def test_the_oracle_looks_at_each_place_that_is_needed_and_is_right(folder: Path, tmp_path: Path) -> None:
    annotate(folder, tmp_path / "ws")
    lines = [json.loads(line) for line in (folder / "truth.jsonl").read_text().splitlines()[1:]]
    truth = {json.dumps([q["question"], q["windows"]]): q for line in lines for q in line["questions"]}
    assert Counter(question["places"] for question in truth.values()) == {0: 12, 1: 12, 2: 12}
    found = rows(
        tmp_path / "ws", "SELECT t.question, t.windows, c.answer, c.looks FROM candidates c JOIN tasks t ON t.id = c.task"
    )
    assert len(found) == 36
    for question, gold_windows, answer, looks in found:
        asked_question = truth[json.dumps([question, in_seconds(gold_windows)])]
        assert answer == asked_question["answer"], question
        assert len(looks) == LOOKS_BY_PLACES[asked_question["places"]], question
        assert in_seconds([look["window"] for look in looks]) == asked_question["windows"][: len(looks)]
        assert {Fraction(look["fps"]["num"], look["fps"]["den"]) for look in looks} == {Fraction(asked_question["lowest_fps"])}
    scores = rows(tmp_path / "ws", "SELECT filter, min(score) FROM verdicts GROUP BY filter")
    assert {name: score for name, score in scores if score < 1} == {}


def looking(folder: Path, number: int, question: WorldQuestion, reply: type[Reply], look: Look) -> bytes:
    """A request that shows one look."""
    script = SETTINGS.script(number)
    plan, size = plan_look(look, script.duration_s), Size(SETTINGS.width, SETTINGS.height)
    pictures = PyAV().read(folder / "videos" / file_name(number), plan.times_s, size).frames
    return Chat(script, question, reply.name, plan, look, tuple(to_jpeg(pictures))).bytes()


def replied(oracle: Oracle, body: bytes, reply: type[R]) -> R:
    read = read_reply(reply, oracle.answer(read_request(body), body)[0].text)
    assert isinstance(read, reply)
    return read


def test_an_oracle_that_sees_nothing_guesses_in_the_form_of_the_answer(folder: Path) -> None:
    forgetful = Oracle(folder, Behaviour(unknown=1.0))
    for number in range(SETTINGS.videos):
        for question in questions(SETTINGS.script(number)):
            body = looking(folder, number, question, AnswerReply, Look(question.windows[0], Fraction(1)))
            assert replied(forgetful, body, AnswerReply).answer in (guesses(question.text) or COLOURS)


def test_the_oracle_looks_again_only_where_its_looks_have_not_settled_the_question(folder: Path) -> None:
    oracle, looked_again = Oracle(folder, Behaviour()), Counter[tuple[bool, bool]]()
    for number in range(SETTINGS.videos):
        script = SETTINGS.script(number)
        (question,) = (question for question in questions(script) if question.places == 2)
        first, second = question.windows
        after_flash_cs = 100 * (flash_frame(script.visits[1]) + FPS // 2) // FPS
        if after_flash_cs >= second.end_cs - 30:  # to look at its flash is to look at all of the stay
            continue
        for window, is_settled in ((first, False), (Window(first.start_cs, after_flash_cs), True)):
            body = looking(folder, number, question, StepReply, Look(window, Fraction(4)))
            reply = replied(oracle, body, StepReply)
            assert reply.answer == (question.answer if is_settled else "")
            assert [further_look.window() for further_look in reply.looks] == ([] if is_settled else [second])
            looked_again[is_settled, bool(reply.looks)] += 1
    assert looked_again.keys() == {(False, True), (True, False)}
