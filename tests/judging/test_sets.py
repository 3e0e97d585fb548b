"""What is said twice is found once; what only looks alike is left alone; what asks for sound or is unfit is told."""

from __future__ import annotations

import hashlib
import json
import random
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from dmforge import cli
from dmforge.curation.lake.commits import Lake
from dmforge.curation.lake.views import LakeView
from dmforge.curation.video.fingerprint import Fingerprint
from dmforge.curation.workspace_folder import WorkspaceFolder
from dmforge.filters.contamination import Contamination, ContaminationConfig
from dmforge.filters.duplicates import Duplicates, DuplicatesConfig
from dmforge.filters.near_duplicates import NearDuplicates
from dmforge.filters.needs_audio import NeedsAudio, NeedsAudioConfig
from dmforge.generators.synthetic.oracle.behaviour import Behaviour
from dmforge.generators.synthetic.oracle.oracle_process import serving
from dmforge.generators.synthetic.oracle.planted_defects import UNSAFE
from dmforge.generators.synthetic.worlds.world_folder import WorldSettings, make_worlds
from dmforge.generators.teacher.teacher_config import URL
from dmforge.recipe import RECIPES, read_recipe
from dmforge.schemas.ids import Id
from dmforge.schemas.likeness import is_near
from dmforge.schemas.looks import Window
from dmforge.schemas.records import Task, TaskKind, Video
from tests.judging import hand
from tests.judging.lakes import Rows, judged

HERE, THERE = Window(300, 700), Window(900, 1100)


def video(number: int) -> Video:
    return Video(hashlib.sha256(bytes([number])).hexdigest(), 2000, 64, 64, Fraction(12), "h264", 0, 1)


def fingerprint(of: Video, seed: int) -> Fingerprint:
    draw = random.Random(seed)
    return Fingerprint(of.id, tuple(draw.getrandbits(63) for _ in range(40)))


def task(of: Video, question: str, kind: TaskKind = "grounding", answer: str = "", window: Window | None = HERE) -> Task:
    return Task(of.id, kind, question, (), answer, (window,) if window else (), "any")


def scores(folder: Path, rows: Rows) -> dict[tuple[str, Id], float]:
    view = judged(folder, rows, Duplicates(DuplicatesConfig()))
    return {(name, subject): score for name, subject, score in view.connection.execute(
        "SELECT filter, subject, score FROM verdicts"
    ).fetchall()}  # fmt: skip


def test_paraphrases_about_one_window_are_found_and_one_of_them_stays(tmp_path: Path) -> None:
    one = video(1)
    tasks = [
        task(one, "the dog jumps over the low fence"),
        task(one, "the low fence is jumped over by the dog"),
        task(one, "an animal crosses a barrier", window=Window(302, 702)),
        task(one, "the dog jumps over the low fence", window=THERE),  # it jumps a second time
    ]
    found = scores(tmp_path, [one, *tasks])
    unique = sorted(found["unique", t.id] for t in tasks[:3])
    assert unique[-1] == 1
    assert unique[0] <= unique[1] <= 0.5
    assert found["unique", tasks[3].id] == 1


def test_the_same_question_with_another_answer_is_another_task(tmp_path: Path) -> None:
    one = video(1)
    same = [task(one, q, "open", "3") for q in ("How often does the lamp flash?", "How many times does the lamp flash?")]
    other = [task(one, "How often does the lamp blink?", "open", "3"), task(one, "How often does the lamp flash?", "open", "4")]
    found = scores(tmp_path, [one, *same, *other])
    assert sorted(found["unique", t.id] for t in same) == [0, 1]
    assert all(found["unique", t.id] == 1 for t in other)


def test_a_fact_makes_another_task_and_a_template_stays_one(tmp_path: Path) -> None:
    one, other = "Why does the man in the red coat open the old door?", "Why doesn't the man in the red coat open the old door?"
    assert is_near(one, other)
    about = video(1)
    tasks = [task(about, question, "open", "it is cold") for question in (one, other)]
    found = scores(tmp_path, [about, *tasks])
    assert {found["unique", each.id] for each in tasks} == {1}
    assert {found["fresh", each.id] for each in tasks} == {0.5}


def test_what_is_unique_among_many_is_what_all_pairs_give(tmp_path: Path) -> None:
    """Windows that cannot be the same are never compared; those that can always are."""
    from dmforge.schemas.scoring import iou

    one, draw = video(1), random.Random(5)
    windows = [Window(start, start + draw.randint(20, 200)) for start in (draw.randint(0, 1500) for _ in range(150))]
    tasks = [Task(one.id, "grounding", f"thing{n}", (), "", tuple({w, *draw.sample(windows, n % 7 == 0)}), "any")
             for n, w in enumerate(windows)]  # fmt: skip
    tasks.sort(key=lambda task: task.id)
    found = scores(tmp_path, [one, *tasks])
    for nth, each in enumerate(tasks):
        same = any(iou(each.windows, other.windows) >= Fraction(9, 10) for other in tasks[:nth])
        assert found["unique", each.id] == (0.5 if same else 1)


def test_copies_of_a_video_share_what_is_unique(tmp_path: Path) -> None:
    one, copy, other = video(1), video(2), video(3)
    prints = [fingerprint(one, 7), fingerprint(copy, 7), fingerprint(other, 8)]
    tasks = [task(v, "When does the cat wake up?") for v in (one, copy, other)]
    found = scores(tmp_path, [one, copy, other, *prints, *tasks])
    assert sorted(found["original", v.id] for v in (one, copy)) == [0, 1]
    assert found["original", other.id] == 1
    assert sorted(found["unique", t.id] for t in tasks[:2]) == [0, 1]
    assert found["unique", tasks[2].id] == 1


def test_questions_that_stand_everywhere_are_counted_and_not_called_duplicates(tmp_path: Path) -> None:
    videos = [video(number) for number in range(5)]
    tasks = [task(v, f"What colour is the car{'' if v.id[-1] % 2 else '?'}", "open", "red", None) for v in videos]
    rare = task(videos[0], "Who feeds the parrot at the window?", "open", "a boy", None)
    found = scores(tmp_path, [*videos, *tasks, rare])
    assert {found["fresh", t.id] for t in tasks} == {0.2}
    assert found["fresh", rare.id] == 1
    assert all(found["unique", t.id] == 1 for t in (*tasks, rare))


def test_the_commonest_templates_are_the_least_fresh() -> None:
    """More questions than a band is compared in full for: worded alike, and nearly alike."""
    alike = [f"What colour is the car{'?' * n}" for n in range(1000)]
    assert set(map(NearDuplicates(alike).near_count, alike)) == {1000}
    long = "When does the tall man in the red coat slowly open the heavy wooden door behind the old stone house near"
    nearly = [f"{long} number{n}" for n in range(300)]
    found = NearDuplicates([*nearly, "Who feeds the parrot?"])
    assert min(map(found.near_count, nearly)) > 200
    assert found.near_count("Who feeds the parrot?") == 1


def test_duplicates_among_many_are_those_that_all_pairs_give(tmp_path: Path) -> None:
    """Bands find what comparing everything with everything would."""
    draw = random.Random(3)
    nouns = ["man", "woman", "dog", "cat", "boy", "girl", "door", "box", "car", "cup", "table", "window"]
    verbs = ["opens", "closes", "holds", "throws", "paints", "washes", "lifts"]
    asks, places = ("When", "Where", "Why"), ("in the garden", "at night", "behind the house", "")
    parts = (asks, ["does the"], nouns, ["that"], verbs, ["the"], nouns, places)
    questions = [" ".join(map(draw.choice, parts)) for _ in range(250)]
    alike = NearDuplicates(questions)
    found = {question: alike.near_count(question) for question in questions}
    wanted = {one: sum(is_near(one, other) for other in questions) for one in questions}
    missed = sum(wanted[one] - found[one] for one in wanted)
    assert all(found[one] <= wanted[one] for one in wanted)
    assert missed <= 0.05 * sum(wanted.values())


def test_what_was_spoilt_by_hand_among_others_is_found(tmp_path: Path) -> None:
    records = hand.read()
    assert len(found := hand.twins(records, tmp_path)) == 3
    assert all(score < 0.6 for score in found.values())


def test_ids_that_benchmarks_list_are_found_however_they_are_written() -> None:
    for one in hand.read():
        assert hand.is_listed(one) == (one.defect == "contaminated_id")
    assert Contamination(ContaminationConfig()).name == "contamination"


def test_a_question_for_ears_scores_0_before_anything_is_spent(tmp_path: Path) -> None:
    one = video(1)
    heard, seen = task(one, "What does the man say to the dog?"), task(one, "What does the sign say?")
    view = judged(tmp_path, [one, heard, seen], NeedsAudio(NeedsAudioConfig()))
    found = dict(view.connection.execute("SELECT subject, score FROM verdicts WHERE filter = 'silent'").fetchall())
    assert found == {heard.id: 0.0, seen.id: 1.0}
    told = dict(view.connection.execute("SELECT subject, detail FROM verdicts").fetchall())
    assert told[heard.id].startswith("at 0-21: asks for sound")


def dmforge(*words: object) -> Any:
    done = CliRunner().invoke(cli.app, [str(word) for word in words])
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout) if "--json" in words else None


@pytest.mark.slow
def test_unsafe_text_is_scored_by_a_teacher_who_quotes_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    worlds, place = tmp_path / "worlds", tmp_path / "ws"
    make_worlds(worlds, WorldSettings(videos=6))
    (place / "inputs").mkdir(parents=True)
    stages = '[stages.ingest]\n[stages.import]\n[stages.annotate]\nmodel = "oracle"\n[stages.safety]\nmodel = "judge"\n'
    (place / "recipe.toml").write_text(f'name = "test"\n{stages}')
    dmforge("ingest", worlds / "videos", "-w", place)
    dmforge("import", "jsonl", worlds / "tasks.jsonl", "-w", place)
    with serving(worlds, Behaviour(defects={"unsafe_t1": 0.2, "unsafe_t2": 0.3})) as url:
        monkeypatch.setenv(URL, url)
        planned = dmforge("plan", "-w", place, "--json")
        dmforge("run", "-w", place)
    view = LakeView(Lake(WorkspaceFolder(place)), read_recipe(place / "recipe.toml").stages)
    found = view.connection.execute("SELECT subject, score, reason, detail FROM verdicts WHERE filter = 'safe'").fetchall()
    texts = {
        id: "".join(piece["text"] or "" for piece in transcript["pieces"] if piece["author"] != "prompt")
        for id, transcript in view.connection.execute("SELECT id, transcript FROM candidates").fetchall()
    }
    assert len(found) == len(texts) > 10
    unsafe = {subject for subject, text in texts.items() if any(sentence in text for sentence in UNSAFE)}
    assert 3 < len(unsafe) < len(texts)
    assert {subject for subject, score, _, _ in found if score == 0} == unsafe
    for subject, score, reason, detail in found:
        assert score in (0, 1)
        if score == 0:
            start, end = map(int, detail.removeprefix("at ").partition(":")[0].split("-"))
            assert texts[subject][start:end] in UNSAFE
            assert reason == "unfit"
    assert next(stage for stage in planned["stages"] if stage["name"] == "safety")["calls"] >= 0


def test_safety_is_off_by_default() -> None:
    for recipe in RECIPES.glob("*.toml"):
        assert "safety" not in {stage.name for stage in read_recipe(recipe).stages}
