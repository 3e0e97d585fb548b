"""Lessons: what they say follows from what the pictures show, and they are corpora like all others."""

from __future__ import annotations

import re
from fractions import Fraction
from pathlib import Path
from random import Random

import numpy as np
import pytest

from dmforge.curation.shards.corpus import Corpus
from dmforge.generators.rendition_footage import footage_of
from dmforge.generators.student.tiny import make_tiny
from dmforge.generators.synthetic.lessons.best_look import best_look, single_look_thoughts
from dmforge.generators.synthetic.lessons.biased_teacher import biased_thoughts
from dmforge.generators.synthetic.lessons.captions import UNCHANGED, captions, namings
from dmforge.generators.synthetic.lessons.lesson_corpora import (
    faultless_thoughts,
    pack_captions,
    pack_readings,
    pack_tasks,
    pack_trajectories,
)
from dmforge.generators.synthetic.lessons.thoughts import reading
from dmforge.generators.synthetic.worlds.exact_question import WorldQuestion
from dmforge.generators.synthetic.worlds.imagine import knobs_of
from dmforge.generators.synthetic.worlds.rasterize import draw, draw_all
from dmforge.generators.synthetic.worlds.script import COLOURS, FPS, SHAPES, Script
from dmforge.generators.synthetic.worlds.two_places import has_long_gap
from dmforge.generators.synthetic.worlds.world_folder import WorldSettings
from dmforge.generators.synthetic.worlds.world_questions import questions
from dmforge.schemas.clips import Clips
from dmforge.schemas.errors import InputError
from dmforge.schemas.frames import plan_coarse, plan_look
from dmforge.schemas.grammar import parse, transcribe
from dmforge.schemas.looks import Look, Window
from dmforge.schemas.prompts import prompt
from dmforge.schemas.transcript import Piece
from dmforge.trainers.dataloading import TrainingCollator
from dmforge.trainers.evaluation_rows import target_looks_of
from dmforge.trainers.training_checks import require_sound, require_task

CLIPS = Clips(coarse_fps=Fraction(1), coarse_frames=64, coarse_tokens=10, look_frames=12, look_tokens=12, look_size="floor")
WIDE = CLIPS.model_copy(update={"look_frames": 24, "look_tokens": 24})
TWO_PLACES = WorldSettings(videos=48, study=True, looks=2, seed=41)
FLASH = re.compile(r" [AB] (\w+), [AB]=([0-9]+\.[0-9])\.")


def worlds(settings: WorldSettings) -> list[tuple[Script, WorldQuestion]]:
    scripts = [settings.script(index) for index in range(settings.videos)]
    return [(script, question) for script in scripts for question in questions(script)]


def follows(question_text: str, flashes: list[tuple[str, str]]) -> str:
    """The answer that somebody derives from what the looks have shown, and from nothing else."""
    colours, seconds = [colour for colour, _ in flashes], [int(time.partition(".")[0]) for _, time in flashes]
    if question_text.startswith("Which colours"):
        return " then ".join(colours)
    if question_text.startswith("Does"):
        return "yes" if colours[0] == colours[1] else "no"
    if question_text.startswith("How many"):
        return str(seconds[1] - seconds[0])
    if question_text.startswith("Which of"):
        asked = next(word for word in re.findall(r"is (\w+):", question_text))
        where = [name for name, colour in zip(("the first", "the second"), colours, strict=True) if colour == asked]
        return {0: "neither", 1: where[0] if where else "", 2: "both"}[len(where)]
    return colours[0]


def test_an_answer_follows_from_what_the_looks_have_shown() -> None:
    for script, question in worlds(TWO_PLACES):
        thoughts = faultless_thoughts(script, question, CLIPS)
        flashes = FLASH.findall(" ".join(thoughts.seen))
        assert len(thoughts.looks) == len(flashes) == question.places
        if question.places:
            assert follows(question.text, flashes) == question.answer
        trajectory = thoughts.trajectory
        text = transcribe(prompt_of(script, question), trajectory).trajectory_text
        assert parse(text, max_looks=2) == trajectory


def prompt_of(script: Script, question: WorldQuestion) -> tuple[Piece, ...]:
    from dmforge.generators.synthetic.lessons.world_packing import world_task

    return prompt(world_task(question, script.seed.to_bytes(16, "big")))


def test_what_is_concluded_ends_with_the_answer() -> None:
    endings = {"Does": 1, "How many": 1, "Which of": 2}
    for script, question in worlds(TWO_PLACES):
        if question.places != 2:
            continue
        conclusion = faultless_thoughts(script, question, CLIPS).conclusion
        count = next((count for opening, count in endings.items() if question.text.startswith(opening)), 0)
        verdicts = re.findall(r" (\w+)\.", conclusion) if count else []
        assert len(verdicts) == count
        if question.text.startswith("Which of"):
            named = {("yes", "yes"): "both", ("yes", "no"): "the first", ("no", "yes"): "the second", ("no", "no"): "neither"}
            assert named[verdicts[0], verdicts[1]] == question.answer
        elif count:
            assert verdicts == [question.answer]


def test_the_overview_says_where_both_stays_are() -> None:
    for script, question in worlds(TWO_PLACES):
        if question.places != 2:
            continue
        seconds: list[int] = []
        for time, where in re.findall(r" ([0-9]+)\.5 (\w+)\.", faultless_thoughts(script, question, CLIPS).overview):
            shown = {"both": (0, 1), "first": (0,), "second": (1,), "no": ()}[where]
            seconds += [int(time) + offset for offset in shown]
        inside = [second for window in question.windows for second in range(window.start_cs // 100, window.end_cs // 100)]
        assert seconds == inside


@pytest.mark.parametrize(
    "settings", [TWO_PLACES, *(WorldSettings(videos=16, study=True, knobs=knobs_of(n)) for n in (0, 3, 4, 5, 6))]
)
def test_a_caption_says_what_its_two_frames_show(settings: WorldSettings) -> None:
    seen: set[str] = set()
    for index in range(settings.videos):
        script, rng = settings.script(index), Random(index)
        overview_s = plan_coarse(script.duration_s, CLIPS.coarse_fps, CLIPS.coarse_frames).times_s
        pieces = captions(script, CLIPS, rng).transcript.pieces
        for shown, caption in zip(pieces[2::2], pieces[3::2], strict=True):
            assert shown.look is not None
            plan, text = plan_look(shown.look, script.duration_s), (caption.text or "").partition("</think>")[0]
            assert len(plan.times_s) == 2
            sprites = [sprite for frame in plan.indices for sprite in script.scene(frame)]
            changed = re.search(r"(?:A|It turns) (\w+)(?: at|, A=)", text)
            if shown.look.fps == CLIPS.coarse_fps:  # a patch of the overview has the frames of the overview
                assert set(plan.times_s) <= set(overview_s)
                is_there = [bool(script.scene(frame)) for frame in plan.indices]
                if script.looks == 2:
                    word = {(1, 1): "both", (1, 0): "first", (0, 1): "second", (0, 0): "no"}[is_there[0], is_there[1]]
                    assert text.split()[1] == f"{word}."
                else:
                    assert set(re.findall(r"[a-z]+", text)) - {"and"} == ({s.shape for s in sprites} or {"nothing"})
            elif changed:
                assert changed[1] in {sprite.colour for sprite in sprites}
            else:
                assert text == UNCHANGED
                asked_for = script.visits[0]  # others may flash beside it, at level 6
                assert {sprite.colour for sprite in sprites if sprite.shape == asked_for.shape} == {asked_for.colour}
            seen.add("change" if changed else text.split()[-1])
    assert "change" in seen
    assert len(seen) > 2


def test_a_naming_says_what_each_patch_shows_is_called() -> None:
    names: set[str] = set()
    for index in range(TWO_PLACES.videos):
        script = TWO_PLACES.script(index)
        lesson = namings(script, CLIPS, Random(index))
        pieces = lesson.transcript.pieces
        for shown, caption in zip(pieces[2::2], pieces[3::2], strict=True):
            assert shown.look is not None
            frames = plan_look(shown.look, script.duration_s).indices
            sprites = {f" {sprite.colour} {sprite.shape}." for frame in frames for sprite in script.scene(frame)}
            assert {(caption.text or "").partition("</think>")[0]} <= sprites
        assert f"<answer>{lesson.answer}</answer>" in (pieces[-1].text or "")
        names.add(lesson.answer)
    assert len(names) > 4


def test_captions_of_overviews_alone_show_no_look_and_tell_no_colour() -> None:
    settings = WorldSettings(videos=16, study=True, knobs=knobs_of(3))
    for index in range(settings.videos):
        lesson = captions(settings.script(index), CLIPS, Random(index), of_looks=False)
        assert {piece.look.fps for piece in lesson.transcript.pieces if piece.look} == {CLIPS.coarse_fps}
        assert lesson.answer in ("nothing", *SHAPES)


def test_a_reading_shows_nothing_and_teaches_what_follows() -> None:
    for script, question in worlds(TWO_PLACES) + worlds(WorldSettings(videos=8, study=True, knobs=knobs_of(3))):
        if question.places in (0, 1):
            continue
        thoughts = faultless_thoughts(script, question, CLIPS)
        pieces = reading(question.text, thoughts).pieces
        assert not any(piece.is_clip for piece in pieces)
        learnt, answer = [piece.text for piece in pieces if piece.is_trained], f"<answer>{question.answer}</answer>"
        expected = [f"{thoughts.conclusion}</think>{answer}"] if question.places == 2 else [thoughts.where, answer]
        assert learnt == expected
        assert all(text in "".join(piece.text or "" for piece in pieces) for text in thoughts.seen)


def test_the_thoughts_of_a_level_name_the_object_that_is_asked_for() -> None:
    for script, question in worlds(WorldSettings(videos=24, study=True, knobs=knobs_of(5), seed=4)):
        thoughts = faultless_thoughts(script, question, CLIPS)
        shape = script.visits[0].shape
        named = re.fullmatch(r" So (\w+) ([0-9.]+) until ([0-9.]+)\. It is (?:not )?quick\.", thoughts.where)
        assert named is not None
        assert named[1] == shape
        listed = re.findall(
            rf"{shape} ([0-9]+\.[0-9])|and {shape} ([0-9]+\.[0-9])|{shape} and \w+ ([0-9]+\.[0-9])", thoughts.overview
        )
        assert {named[2], named[3]} <= {time for times in listed for time in times}
        (look,) = thoughts.looks
        assert look.window in question.windows
        assert thoughts.seen[0].split()[2] == question.answer


def chance_shown(look: Look, script: Script, stay_index: int) -> bool:
    stay = script.visits[stay_index]
    flash = range(stay.first + stay.deed.flashes[0].first, stay.first + stay.deed.flashes[0].stop)
    return not set(flash).isdisjoint(plan_look(look, script.duration_s, max_frames=WIDE.look_frames).indices)


def test_the_best_single_look_has_no_more_frames_than_two_and_shows_both_places_where_it_can() -> None:
    both = {True: 0, False: 0}
    for script, question in worlds(TWO_PLACES):
        if question.places != 2:
            continue
        look = best_look(script, WIDE)
        frames = plan_look(look, script.duration_s, max_frames=WIDE.look_frames).indices
        assert len(frames) <= 2 * CLIPS.look_frames
        shows = [chance_shown(look, script, index) for index in (0, 1)]
        both[has_long_gap(script)] += all(shows)
        thoughts = single_look_thoughts(script, question, WIDE)
        assert thoughts.looks == (look,)
        assert len(FLASH.findall(thoughts.seen[0])) == sum(shows)
        assert bool(thoughts.conclusion) == all(shows)
        first, second = question.windows
        if second.end_cs - first.start_cs <= 600:  # 24 frames at 4 a second hold it all
            assert all(shows)
    assert both[True] == 0
    assert both[False] > 0


def test_a_biased_teacher_errs_in_where_and_how_often_and_in_nothing_that_it_says() -> None:
    pairs = [
        (question, biased_thoughts(script, question, WIDE))
        for script, question in worlds(TWO_PLACES.model_copy(update={"videos": 120}))
    ]
    numbers = {
        places: [len(thoughts.looks) for question, thoughts in pairs if question.places == places] for places in (0, 1, 2)
    }
    assert np.mean([count != places for places, counts in numbers.items() for count in counts]) == pytest.approx(0.4, abs=0.07)
    assert {places: set(counts) for places, counts in numbers.items()} == {0: {0, 1}, 1: {1, 2}, 2: {1, 2}}
    looks = [look for _, thoughts in pairs for look in thoughts.looks]
    assert np.mean([look.fps == 2 for look in looks]) == pytest.approx(0.5, abs=0.07)
    lengths = [look.window.end_cs - look.window.start_cs for look in looks]
    assert 400 < np.mean(lengths) < 500
    for question, thoughts in pairs:
        assert thoughts.answer == question.answer
        if question.places == len(thoughts.looks) == 2:
            assert follows(question.text, FLASH.findall(" ".join(thoughts.seen))) == question.answer


def test_frames_drawn_at_once_are_those_drawn_one_by_one() -> None:
    for level, looks in ((0, 1), (6, 1), (5, 1), (3, 2)):
        script = WorldSettings(videos=1, study=True, looks=looks, knobs=knobs_of(level), seed=3).script(0)
        drawn = draw_all(script, 64, 64)
        for frame in range(0, script.frames, 7):
            assert np.array_equal(drawn[frame], draw(script, frame, 64, 64))


def test_lessons_are_sound_corpora_and_the_same_bytes_each_time(tmp_path: Path) -> None:
    settings = WorldSettings(videos=3, study=True, looks=2, seed=7)
    packs = {"cot": pack_trajectories, "captions": pack_captions, "readings": pack_readings, "tasks": pack_tasks}
    for name, pack in packs.items():
        corpora = [Corpus(str(pack(tmp_path / once / name, settings, CLIPS))) for once in ("one", "two")]
        files = [sorted(Path(corpus.place).iterdir()) for corpus in corpora]
        assert [path.read_bytes() for path in files[0]] == [path.read_bytes() for path in files[1]]
        require_sound(corpora[:1], *([require_task] if name == "tasks" else []))
        ids = [example.sample.id for example in corpora[0]]
        assert len(set(ids)) == len(ids)
    cot, captioned, read, tasks = (Corpus(str(tmp_path / "one" / name)) for name in packs)
    student = make_tiny("speck", ["What is seen?", *COLOURS], 0)
    collate = TrainingCollator(student.layout, CLIPS, "packed", 10_000)
    assert all(collate.lay_out(example).trained.any() for corpus in (cot, captioned, read) for example in corpus)
    assert all(not example.sample.transcript.pieces[0].is_clip for corpus in (captioned, read) for example in corpus)
    by_question = {example.sample.question: example.sample for example in tasks}
    for _, question in worlds(settings):
        sample = by_question[question.text]
        assert len(target_looks_of(sample)) == question.places
        assert ('"needed_looks": 0' in sample.extras) == (question.places == 0)


def test_trajectories_are_half_about_both_places_and_as_much_about_the_first_time_as_about_the_second(tmp_path: Path) -> None:
    corpus = Corpus(str(pack_trajectories(tmp_path / "cot", WorldSettings(videos=32, study=True, looks=2), CLIPS)))
    asked = [example.sample.question for example in corpus]
    firsts, seconds = (sum(text.endswith(f"flash the {ordinal} time?") for text in asked) for ordinal in ("first", "second"))
    assert (len(asked), firsts, seconds) == (64, 8, 8)
    assert sum("is shown twice" in text for text in asked) == 16


def test_a_folder_with_a_lesson_about_other_worlds_is_neither_used_nor_replaced(tmp_path: Path) -> None:
    settings = WorldSettings(videos=1, study=True, looks=2)
    folder = pack_captions(tmp_path / "captions", settings, CLIPS)
    before = {path: path.read_bytes() for path in folder.iterdir()}
    assert pack_captions(folder, settings, CLIPS) == folder
    for other in ((settings.model_copy(update={"seed": 1}), CLIPS), (settings, WIDE)):
        with pytest.raises(InputError, match="other worlds"):
            pack_captions(folder, *other)
    assert {path: path.read_bytes() for path in folder.iterdir()} == before


def test_renditions_of_lessons_show_what_was_drawn(tmp_path: Path) -> None:
    settings = WorldSettings(videos=2, study=True, looks=2, seed=8)
    corpus = Corpus(str(pack_trajectories(tmp_path / "cot", settings, CLIPS)))
    for example in corpus:
        for piece in example.sample.transcript.pieces:
            if piece.look:
                clip = footage_of(example, CLIPS).look(piece.look)
                assert clip.frames.shape[1:] == (32, 32, 3)
                assert clip.times_s == plan_look(piece.look, Fraction(20), max_frames=12).times_s
                assert Window(int(100 * clip.times_s[0]), 2000).start_cs == piece.look.window.start_cs
                assert [int(time_s * FPS) for time_s in clip.times_s] == list(plan_look(piece.look, Fraction(20)).indices)
