"""A teacher that may look several times: what it is shown each time, what it costs, and what judges say of its looks."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from dmforge.curation.exports.conversation_rows import looks_of
from dmforge.curation.lake.commits import Lake
from dmforge.curation.lake.views import LakeView
from dmforge.curation.shards.corpus import Corpus
from dmforge.curation.workspace_folder import WorkspaceFolder
from dmforge.generators.stages.annotate import Annotate, AnnotateConfig
from dmforge.generators.stages.several_looks import SeveralLooks
from dmforge.generators.synthetic.oracle.behaviour import Behaviour
from dmforge.generators.synthetic.oracle.oracle_process import serving
from dmforge.generators.synthetic.oracle.step_defects import STEP_DEFECTS
from dmforge.generators.synthetic.worlds.imagine import LEVELS
from dmforge.generators.synthetic.worlds.world_folder import WorldSettings, make_worlds
from dmforge.generators.teacher.clip_messages import ANNOUNCED_OVERVIEW, about_video, announced
from dmforge.generators.teacher.teacher_config import URL
from dmforge.recipe import read_recipe
from dmforge.schemas.clips import Clips
from dmforge.schemas.looks import Look, Window
from dmforge.schemas.records import Overview, Task, Video
from dmforge.schemas.scoring import overlap_cs
from tests.support.made_once import made_once
from tests.teachers.billed import dmforge
from tests.teachers.endpoint import GOOD, Script, server, status

RECIPE = """
name = "test"

[clips]
look_size = "floor"

[looks]
max_looks = {looks}

[teacher]
model = "oracle"

[prices.oracle]
input_usd = 1
output_usd = 4

[stages.ingest]
[stages.import]
[stages.annotate]
{annotate}
"""
JUDGES = """
[stages.rules]
[stages.citations]
[stages.verify]
[stages.select_cot]
corpus = "cot"
[stages.select_cot.min_score]
answer = 0.5
[stages.pack]
"""
CAUGHT_BY = {
    "wrong_second_window": ("evidence", "idle_look"),  # with a look left, the right place is looked at after it
    "overlapping_look": ("overlap_looks",),
    "idle_look": ("idle_look",),
    "cited_before_shown": ("cited_inside", "cited_stamps"),
    "answered_from_first": ("evidence",),
}
"""By planted fault of a further look, the verdicts of which one must be below 1."""


def prepared(folder: Path, videos: int) -> None:
    """Worlds in which an object comes back, and beside them a workspace in which they are rendered and their tasks imported."""
    make_worlds(folder / "worlds", WorldSettings(videos=videos, knobs=LEVELS[4]))
    (folder / "ws/inputs").mkdir(parents=True)
    (folder / "ws/recipe.toml").write_text(RECIPE.format(looks=1, annotate="").partition("[stages.annotate]")[0])
    dmforge("ingest", folder / "worlds/videos", "-w", folder / "ws")
    dmforge("import", "jsonl", folder / "worlds/tasks.jsonl", "-w", folder / "ws")
    dmforge("run", "-w", folder / "ws")


@pytest.fixture(scope="module")
def worlds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made_once(tmp_path_factory, "returning", lambda folder: prepared(folder, 8))


def workspace(worlds: Path, folder: Path, looks: int, annotate: str = "", more: str = "") -> Path:
    place = Path(shutil.copytree(worlds / "ws", folder / "ws"))
    (place / "recipe.toml").write_text(RECIPE.format(looks=looks, annotate=annotate) + more)
    return place


def rows(place: Path, sql: str) -> list[tuple[Any, ...]]:
    stages = read_recipe(place / "recipe.toml").stages
    return LakeView(Lake(WorkspaceFolder(place)), stages).connection.execute(sql).fetchall()


@pytest.fixture(scope="module")
def looked(worlds: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace in which the oracle looked as often as it took, judged and packed."""

    def make(folder: Path) -> None:
        place = workspace(worlds, folder, 3, more=JUDGES)
        with serving(worlds / "worlds") as url, pytest.MonkeyPatch.context() as patch:
            patch.setenv(URL, url)
            dmforge("run", "-w", place)

    return made_once(tmp_path_factory, "looked", make) / "ws"


CANDIDATES = """
SELECT t.needs, t.windows, c.looks, c.requests, c.transcript FROM candidates c JOIN tasks t ON t.id = c.task
"""


def windows_of(cells: list[dict[str, Any]]) -> tuple[Window, ...]:
    return tuple(Window(cell["start_cs"], cell["end_cs"]) for cell in cells)


def test_each_place_that_a_question_needs_is_looked_at_and_no_other(looked: Path) -> None:
    found = rows(looked, CANDIDATES)
    counts = Counter((needs, len(looks)) for needs, _, looks, _, _ in found)
    assert counts["all", 2] >= 3
    assert set(counts) == {("all", 2), ("any", 1)}
    for needs, gold, looks, requests, _ in found:
        assert len(requests) == len(looks) + 1
        if needs == "all":
            for gold_window, look in zip(windows_of(gold), windows_of([look["window"] for look in looks]), strict=True):
                assert overlap_cs((gold_window,), (look,)) > 0


def test_looks_without_a_fault_satisfy_every_judge(looked: Path) -> None:
    wanted = {"grammar", "window", "frames", "cited_stamps", "cited_inside", "evidence", "overlap_looks", "idle_look"}
    found = rows(looked, "SELECT filter, min(score), count(*) FROM verdicts GROUP BY filter")
    assert wanted <= {name for name, _, _ in found}
    assert {name: score for name, score, _ in found if name in wanted and score < 1} == {}


def test_shards_and_exports_hold_the_clip_of_every_look(looked: Path, tmp_path: Path) -> None:
    (packed,) = (looked / "shards").glob("cot/*/manifest.json")
    corpus = Corpus(packed.parent)
    several = [sample for video in corpus.videos() for sample in video.samples if len(looks_of(sample)) > 1]
    assert len(several) >= 3
    dmforge("export", "cot", "--to", "llamafactory", "--out", tmp_path / "out", "-w", looked)
    exported = json.loads((tmp_path / "out/cot.json").read_text())
    marks = [sum(message["content"].count("<video>") for message in row["messages"]) for row in exported]
    assert marks == [len(row["videos"]) for row in exported]
    assert sorted(marks)[-1] == 3
    assert all((tmp_path / "out" / path).stat().st_size for row in exported for path in row["videos"])
    done = dmforge("export", "cot", "--to", "dynframe", "--out", tmp_path / "dynframe", "-w", looked, "--json")
    assert done["left_out"] == len(several)


def test_an_export_in_a_dialect_has_a_folder_of_its_own_and_a_turn_for_each_look(looked: Path) -> None:
    for to, name in (("trl", "train.jsonl"), ("llamafactory", "cot.json")):
        done = dmforge("export", "cot", "--to", to, "--dialect", "tool", "-w", looked, "--json")
        folder = Path(done["path"])
        assert folder.parents[1] == looked / f"exports/{to}-tool"
        text = (folder / name).read_text()
        rows = json.loads(text) if to == "llamafactory" else [json.loads(line) for line in text.splitlines()]
        assert len(rows) == done["samples"] > 3
        for row in rows:
            roles = [message["role"] for message in row.get("messages", row.get("completion"))]
            assert roles.count("assistant") == len(row["videos"])  # the overview is answered by no call
        assert max(len(row["videos"]) for row in rows) == 3


def test_with_one_look_all_is_as_it_was() -> None:
    """Requests are made by other code where there may be several: with one, neither settings nor prompts are in a work key."""
    once, more = (AnnotateConfig(model="m", max_looks=looks) for looks in (1, 2))
    assert once.semantic() == AnnotateConfig(model="m").semantic()
    assert "max_looks" not in once.semantic()
    assert more.semantic() != once.semantic()
    keys = [Annotate(config).cache_key_parts() for config in (AnnotateConfig(model="m"), once, more)]
    assert keys[0] == keys[1] == keys[2][: len(keys[0])]


def told(**fields: object) -> Any:
    choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": json.dumps(fields)}}
    return status(200, {**GOOD, "choices": [choice], "usage": {"prompt_tokens": 5, "completion_tokens": 5}})


FIRST = told(thought="At 1.2 seconds it comes, and at 7.2 seconds again.", start_s=1, end_s=3, fps=2)
SECOND = told(thought="At 1.5 seconds it flashes.", looks=[{"start_s": 7, "end_s": 9, "fps": 4}], answer="")
ANSWER = told(thought="At 7.5 seconds it flashes once more.", looks=[], answer="2")
FINAL = told(thought="At 7.5 seconds it flashes once more.", answer="2")


def asked(place: Path, monkeypatch: pytest.MonkeyPatch, *replies: Any, code: int = 0) -> tuple[list[list[Any]], str]:
    """The messages of the requests about one video, and what the run says."""
    script = Script(*replies)
    with server(script) as url:
        monkeypatch.setenv(URL, url)
        words = dmforge("run", "-w", place, "--videos", 1, code=code)
    return [request["messages"][-1]["content"] for request in script.asked], words


def texts(content: list[Any]) -> list[str]:
    return [part["text"] for part in content if part["type"] == "text" and not part["text"].endswith(" seconds>")]


@pytest.mark.parametrize("overview", ["first", "always"])
def test_every_request_shows_all_looks_so_far_and_repeats_the_thoughts(
    overview: str, worlds: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = workspace(worlds, tmp_path, 3, f'overview = "{overview}"\nconcurrency = 1\nmax_images = 40')
    contents, _ = asked(place, monkeypatch, FIRST, SECOND, ANSWER, FIRST)
    always = ["You are shown the whole video coarsely."] if overview == "always" else []
    looks = [
        "You are shown 1.00 - 3.00 seconds at 2 frames per second.",
        "You are shown 7.00 - 9.00 seconds at 4 frames per second.",
    ]
    first, second, third = map(texts, contents[:3])
    assert len(first) == 1
    assert second[:-1] == [*always, looks[0]]
    assert third[:-1] == [*always, *looks]
    assert "You may look 2 more times." in second[-1]
    assert "You may look 1 more time." in third[-1]
    assert "1. At 1.2 seconds it comes" in second[-1]
    assert "2. At 1.5 seconds it flashes." in third[-1]
    assert second[-1].endswith(first[0].rpartition("\n\n")[2])
    images = [sum(part["type"] == "image_url" for part in content) for content in contents[:3]]
    assert images[2] - images[1] == 8  # 2 s at 4 frames a second
    assert max(images) <= 40
    if always:  # what is recorded of the coarse clip holds for all requests that show it
        assert images[0] == images[1] - 4


@pytest.mark.parametrize("overview", ["first", "always"])
@pytest.mark.parametrize("count", [1, 2, 12])
def test_no_request_says_more_than_what_is_set_aside_for_it(overview: Overview, count: int) -> None:
    """But for the thoughts, each of which was paid for as a reply."""
    video = Video("ab" * 32, 360_000, 1280, 720, Fraction(25), "h264", 0, 1)
    task = Task(video.id, "open", "How often?", (), "2", (), "any")
    several, clips = SeveralLooks(12, overview), Clips(look_size="floor")
    looks = [Look(Window(100_000 + number, 300_099), Fraction(24_000, 1_001)) for number in range(count)]
    thoughts = ["It flashes."] * count
    shown = [announced(look) if look else ANNOUNCED_OVERVIEW for look in several.clips_after(looks)]
    said = "".join((*shown, several.text_after(thoughts, about_video(clips, video), task)))
    assert len(said.encode()) <= len(several.longest_text(clips, video, task, count).encode()) + len("".join(thoughts))


def test_the_last_look_that_is_allowed_is_answered_from(worlds: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = workspace(worlds, tmp_path, 2, "concurrency = 1\nattempts = 1")
    contents, _ = asked(place, monkeypatch, FIRST, SECOND, FINAL, FIRST, SECOND, FINAL, FIRST, SECOND, FINAL, FINAL)
    assert "more time" not in contents[2][-1]["text"]
    (looks,) = {len(looks) for (looks,) in rows(place, "SELECT looks FROM candidates")}
    assert looks == 2


@pytest.mark.parametrize(
    ("step", "reason"),
    [
        ({"thought": "Both.", "looks": [{"start_s": 7, "end_s": 9, "fps": 4}], "answer": "2"}, "it looks again and answers"),
        ({"thought": "Two.", "looks": [{"start_s": 7, "end_s": 9, "fps": 4}] * 2, "answer": ""}, "at several windows at once"),
        ({"thought": "None.", "looks": [{"start_s": 9, "end_s": 9, "fps": 4}], "answer": ""}, "the window is empty"),
        ({"thought": "Late.", "looks": [{"start_s": 900, "end_s": 950, "fps": 4}], "answer": ""}, "begins after the end"),
        ({"thought": "No list.", "answer": "2"}, "field required"),
    ],
)
def test_a_step_that_can_not_be_used_is_asked_for_again_and_then_rejects_its_task(
    step: dict[str, Any], reason: str, worlds: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = workspace(worlds, tmp_path, 3, "concurrency = 1\nattempts = 1")
    asked(place, monkeypatch, *[FIRST, told(**step)] * 10, code=1)  # nothing was made
    outcomes = rows(place, "SELECT DISTINCT status, detail FROM outcomes WHERE stage = 'annotate' AND status <> 'pending'")
    assert [status for status, _ in outcomes] == ["rejected"]
    assert reason in outcomes[0][1]


def test_what_all_further_looks_can_cost_is_set_aside_before_the_first_is_paid_for(
    worlds: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A budget that is enough for a first look and not for what may follow buys nothing; with fewer looks it is enough."""
    script = Script(FIRST, told(thought="At 1.5 seconds it flashes.", looks=[], answer="2"))
    spent: dict[int, int] = {}
    for looks in (2, 8):
        place = workspace(worlds, tmp_path / str(looks), looks, "concurrency = 1\nmax_output_tokens = 100")
        with server(script) as url:
            monkeypatch.setenv(URL, url)
            before = len(script.asked)
            dmforge("run", "-w", place, "--videos", 1, "--budget", 0.03, code=1 if looks == 8 else 0)
            spent[looks] = len(script.asked) - before
    assert spent[2] > 0
    assert spent[8] == 0


def test_a_plan_counts_as_many_requests_as_looks_allow(worlds: Path, tmp_path: Path) -> None:
    def calls(looks: int) -> int:
        place = workspace(worlds, tmp_path / str(looks), looks)
        (annotate,) = (stage for stage in dmforge("plan", "-w", place, "--json")["stages"] if stage["name"] == "annotate")
        return annotate["calls"]

    assert calls(3) == 2 * calls(1) > 0


def test_faults_of_answers_are_planted_where_it_could_have_looked_again(
    worlds: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With looks left, an answer is a step that doesn't look: it is no less an answer."""
    place, truth = workspace(worlds, tmp_path, 3, more=JUDGES), tmp_path / "truth.jsonl"
    with serving(worlds / "worlds", Behaviour(defects={"wrong_answer": 1.0}), truth) as url:
        monkeypatch.setenv(URL, url)
        dmforge("run", "-w", place)
    planted = [json.loads(line) for line in truth.read_text().splitlines()]
    ((candidates, wrong),) = rows(place, "SELECT count(*), count(*) FILTER (score < 0.5) FROM verdicts WHERE filter = 'answer'")
    assert {line["reply"] for line in planted} >= {"step"}
    assert wrong == len(planted) > 0.5 * candidates


@pytest.mark.slow
def test_planted_faults_of_further_looks_are_caught_and_nothing_else_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepared(tmp_path, 60)
    place = workspace(tmp_path, tmp_path / "planted", 3, "candidates = 2", more=JUDGES)
    behaviour, truth = Behaviour(defects=dict.fromkeys(STEP_DEFECTS, 0.2)), tmp_path / "truth.jsonl"
    with serving(tmp_path / "worlds", behaviour, truth) as url:
        monkeypatch.setenv(URL, url)
        dmforge("run", "-w", place)
    caught, missed, falsely = judged(place, truth)
    assert sum(caught.values()) >= 50
    assert set(caught) == set(STEP_DEFECTS)
    assert sum(missed.values()) <= 0.02 * (sum(caught.values()) + sum(missed.values())), missed
    assert falsely <= 0.01


def judged(place: Path, truth: Path) -> tuple[Counter[str], Counter[str], float]:
    """Of planted faults, how many were caught and missed; the share of candidates without one that are faulted all the same."""
    planted: dict[tuple[str, str, int], set[str]] = {}
    for line in map(json.loads, truth.read_text().splitlines()):
        planted.setdefault((line["video"].removesuffix(".mp4"), line["question"], line["attempt"]), set()).add(line["defect"])
    names = sorted({name for names in CAUGHT_BY.values() for name in names})
    found = rows(
        place,
        "SELECT v.source_id, t.question, c.attempt, map_from_entries(list((d.filter, d.score))) FROM candidates c "
        "JOIN tasks t ON t.id = c.task JOIN videos v ON v.id = c.video JOIN verdicts d ON d.subject = c.id GROUP BY ALL",
    )
    caught, missed, clean, faulted = Counter[str](), Counter[str](), 0, 0
    for video, question, attempt, scores in found:
        low = {name for name in names if scores[name] < 1}
        defects = planted.get((video, question, attempt), set())
        for defect in defects:
            (caught if low & set(CAUGHT_BY[defect]) else missed)[defect] += 1
        if not defects:
            clean, faulted = clean + 1, faulted + bool(low)
    return caught, missed, faulted / clean
