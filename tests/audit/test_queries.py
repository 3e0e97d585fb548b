"""Each named question, recomputed from the rows with nothing of ours but the rules of scoring."""

from __future__ import annotations

import json
import shutil
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from pathlib import Path
from statistics import fmean, median, stdev
from typing import Any

import numpy as np
import pytest

from dmforge.commands.audit import extra_tables
from dmforge.curation.audit import query
from dmforge.curation.lake.views import LakeView
from dmforge.curation.workspace_folder import WorkspaceFolder
from dmforge.recipe import read_recipe
from dmforge.schemas.ids import show
from dmforge.schemas.looks import Window, read_span
from dmforge.schemas.scoring import choice, window_score
from tests.audit.conftest import ask
from tests.audit.intervals import wilson
from tests.audit.parts import rows

Row = dict[str, Any]
Scored = tuple[Path, LakeView]
Answer = Callable[..., list[Row]]


def asked(scored: Scored, name: str) -> list[Row]:
    """The answer about a lake to which nobody has answered anything."""
    workspace = WorkspaceFolder(scored[0])
    found = query.ask(scored[1], name, extra_tables(workspace, read_recipe(workspace.recipe)))
    return [dict(zip(found.columns, row, strict=True)) for row in found.rows]


def by(found: Iterable[Row], *columns: str) -> dict[tuple[Any, ...], Row]:
    """Rows by what they are about; each once."""
    listed = list(found)
    told = {tuple(row[column] for column in columns): row for row in listed}
    assert len(told) == len(listed)
    return told


def grouped(items: Iterable[Row], key: Callable[[Row], Any]) -> dict[Any, list[Row]]:
    groups: defaultdict[Any, list[Row]] = defaultdict(list)
    for item in items:
        groups[key(item)].append(item)
    return dict(groups)


class Lake:
    """The rows of the made-up lake, joined by hand."""

    def __init__(self, folder: Path) -> None:
        self.tasks, self.videos = ({row["id"]: row for row in rows(folder, table)} for table in ("tasks", "videos"))
        self.candidates = {row["id"]: row for row in rows(folder, "candidates")}
        self.samples, self.verdicts = rows(folder, "samples"), rows(folder, "verdicts")
        self.kept_candidates = {row["candidate"] for row in self.samples}
        self.kept_tasks = {row["task"] for row in self.samples}
        self.outcomes = rows(folder, "outcomes")

    def of(self, *filters: str) -> list[Row]:
        return [row for row in self.verdicts if row["filter"] in filters]

    def place(self, task: bytes) -> tuple[str, str]:
        return self.tasks[task]["source"], self.tasks[task]["task_kind"]


@pytest.fixture(scope="module")
def lake(scored: Scored) -> Lake:
    return Lake(scored[0])


def test_corpora(scored: Scored, lake: Lake) -> None:
    counts = Counter((row["corpus"], *lake.place(row["task"])) for row in lake.samples)
    found = by(asked(scored, "corpora"), "corpus", "source", "kind")
    assert {key: row["samples"] for key, row in found.items()} == counts
    assert sum(row["share"] for row in found.values()) == pytest.approx(1, abs=1e-3)


def test_windows(scored: Scored, lake: Lake) -> None:
    spans: list[Row] = [
        {"of": "gold", "place": lake.place(task["id"]), "video": task["video"], **window}
        for task in lake.tasks.values()
        for window in task["windows"]
    ]
    spans += [
        {"of": "looked", "place": lake.place(one["task"]), "video": one["video"], **look["window"]}
        for one in lake.candidates.values()
        for look in one["looks"]
    ]
    found = by(asked(scored, "windows"), "of", "source", "kind")
    groups = grouped(spans, lambda span: (span["of"], *span["place"]))
    assert found.keys() == groups.keys()
    for key, group in groups.items():
        lengths = [(span["end_cs"] - span["start_cs"]) / 100 for span in group]
        middles = [(span["end_cs"] + span["start_cs"]) / 2 / lake.videos[span["video"]]["duration_cs"] for span in group]
        shares = [(s["end_cs"] - s["start_cs"]) / lake.videos[s["video"]]["duration_cs"] for s in group]
        row = found[key]
        assert row["windows"] == len(group)
        told = [row["short_s"], row["median_s"], row["long_s"]]
        assert told == pytest.approx(np.quantile(lengths, [0.1, 0.5, 0.9]), abs=0.006)
        assert [row["early"], row["middle"], row["late"]] == pytest.approx(np.quantile(middles, [0.1, 0.5, 0.9]), abs=6e-4)
        assert row["share_of_video"] == pytest.approx(median(shares), abs=6e-5)


def test_densities(scored: Scored, lake: Lake) -> None:
    counts, kept = Counter[Any](), Counter[Any]()
    for one in lake.candidates.values():
        for look in one["looks"]:
            key = (*lake.place(one["task"]), look["fps"]["num"] / look["fps"]["den"])
            counts[key] += 1
            kept[key] += one["id"] in lake.kept_candidates
    found = by(asked(scored, "densities"), "source", "kind", "density_fps")
    assert {key: (row["looks"], row["kept"]) for key, row in found.items()} == {key: (counts[key], kept[key]) for key in counts}


def right_option(task: Row) -> int | None:
    return choice(task["answer"], tuple(task["options"]))


def test_balance(scored: Scored, lake: Lake) -> None:
    counts, kept = Counter[Any](), Counter[Any]()
    for task in lake.tasks.values():
        if task["task_kind"] == "grounding":
            continue
        right = right_option(task)
        letter = "not told" if right is None else chr(ord("A") + right)
        said = f"option {letter}" if task["options"] else task["answer"].strip().lower()
        key = (task["task_kind"], len(task["options"]), said)
        counts[key] += 1
        kept[key] += task["id"] in lake.kept_tasks
    found = by(asked(scored, "balance"), "kind", "options", "answer")
    assert {key: (row["tasks"], row["kept"]) for key, row in found.items()} == {key: (counts[key], kept[key]) for key in counts}
    assert ("mcq", 4, "option not told") in counts


def test_shortcuts(scored: Scored, lake: Lake) -> None:
    found = by(asked(scored, "shortcuts"), "shortcut", "source", "kind")
    checked: set[Any] = set()
    for (source, kind), group in grouped(lake.tasks.values(), lambda task: (task["source"], task["task_kind"])).items():
        known = [(task, right) for task in group if (right := right_option(task)) is not None]
        if known:
            longest = fmean(task["options"].index(max(task["options"], key=len)) == right for task, right in known)
            most: defaultdict[int, Counter[int]] = defaultdict(Counter)
            for task, right in known:
                most[len(task["options"])][right] += 1
            common = sum(max(counter.values()) for counter in most.values()) / len(known)
            row = found["longest option", source, kind]
            assert (row["tasks"], row["score"]) == (len(known), pytest.approx(longest, abs=1e-4))
            assert row["chance"] == pytest.approx(fmean(1 / len(task["options"]) for task, _ in known), abs=1e-4)
            assert found["commonest option", source, kind]["score"] == pytest.approx(common, abs=1e-4)
            checked |= {("longest option", source, kind), ("commonest option", source, kind)}
        if kind == "open":
            said = Counter(task["answer"].strip().lower() for task in group)
            score = max(said.values()) / len(group)
            assert found["commonest answer", source, kind]["score"] == pytest.approx(score, abs=1e-4)
            checked.add(("commonest answer", source, kind))
        gold = [task for task in group if task["windows"]]
        if gold:
            row = found["constant span", source, kind]
            assert (row["tasks"], row["score"]) == (len(gold), pytest.approx(mean_iou(row["which"], gold), abs=1e-4))
            least = max(mean_iou(span, gold) for span in ("0.00 - 10.00", "5.00 - 20.00", "10.00 - 15.00"))
            assert row["score"] > 0.9 * least
            checked.add(("constant span", source, kind))
    assert checked == found.keys()


def mean_iou(span: str, gold: list[Row]) -> float:
    """Of one span with the windows of all tasks. By the scoring that rewards and evaluation use."""
    bounds = read_span(span)
    assert bounds is not None
    shown = (Window(*bounds),)
    return fmean(
        float(window_score(shown, tuple(Window(**window) for window in task["windows"]), task["needs"])) for task in gold
    )


def best_iou(candidate: Row, task: Row) -> float:
    gold = tuple(Window(**window) for window in task["windows"])
    return max(float(window_score((Window(**look["window"]),), gold, task["needs"])) for look in candidate["looks"])


def test_teachers(scored: Scored, lake: Lake) -> None:
    found = by(asked(scored, "teachers"), "teacher")
    for teacher, group in grouped(lake.candidates.values(), lambda one: one["teacher"]).items():
        row, ids = found[teacher,], {one["id"] for one in group}
        assert (row["candidates"], row["tasks"]) == (len(group), len({one["task"] for one in group}))
        assert row["kept"] == len(ids & lake.kept_candidates)
        for name in ("answer", "evidence"):
            mean = fmean(verdict["score"] for verdict in lake.of(name) if verdict["subject"] in ids)
            assert row[name] == pytest.approx(mean, abs=1e-4)
        assert row["crosscheck"] is None
        own = fmean(one["window_source"] == "teacher" for one in group)
        assert row["own_window"] == pytest.approx(own, abs=1e-4)
        right = [verdict["score"] >= 0.5 for verdict in lake.of("answer") if verdict["subject"] in ids]
        assert row["right"] == pytest.approx(fmean(right), abs=1e-4)
        assert [row["right_low"], row["right_high"]] == pytest.approx(wilson(sum(right), len(right)), abs=1e-4)
        assert [row["kept_low"], row["kept_high"]] == pytest.approx(wilson(row["kept"], len(group)), abs=1e-4)
        ious = [best_iou(one, lake.tasks[one["task"]]) for one in group if lake.tasks[one["task"]]["windows"]]
        half = 1.959964 * stdev(ious) / len(ious) ** 0.5
        told = [row["iou_low"], row["iou"], row["iou_high"]]
        assert told == pytest.approx([max(0, fmean(ious) - half), fmean(ious), fmean(ious) + half], abs=1e-4)
        assert row["usd_per_kept"] is None
    assert len(found) == 2


def test_duplicates_and_contamination(scored: Scored, lake: Lake) -> None:
    alike = by(asked(scored, "duplicates"), "filter", "source")
    for (name, source), group in grouped(
        lake.of("original", "unique"),
        lambda v: (v["filter"], "films" if v["filter"] == "original" else lake.tasks[v["subject"]]["source"]),
    ).items():
        row = alike[name, source]
        assert (row["measured"], row["alike"]) == (len(group), sum(verdict["score"] < 1 for verdict in group))
        assert row["mean"] == pytest.approx(fmean(verdict["score"] for verdict in group), abs=1e-4)
    known = by(asked(scored, "contamination"), "filter", "found")
    listed = {verdict["subject"] for verdict in lake.of("clean") if verdict["score"] == 0}
    assert known["clean", "its id is listed"]["subjects"] == len(listed)
    assert known["clean", "its id is listed"]["kept"] == sum(row["video"] in listed for row in lake.samples)


def test_blind_necessity_and_difficulty(scored: Scored, lake: Lake) -> None:
    blind = by(asked(scored, "blind"), "source", "kind")
    for key, group in grouped(lake.of("blind"), lambda verdict: lake.place(verdict["subject"])).items():
        easy = [verdict for verdict in group if verdict["score"] <= 0.5]
        row = blind[key]
        assert (row["tasks"], row["mostly_blind"]) == (len(group), len(easy))
        assert row["right_blind"] == pytest.approx(fmean(1 - verdict["score"] for verdict in group), abs=1e-4)
        assert row["mostly_blind_kept"] == sum(verdict["subject"] in lake.kept_tasks for verdict in easy)
    gains = by(asked(scored, "necessity"), "filter", "source", "kind")
    for key, group in grouped(
        lake.of("necessity", "necessity_coarse"), lambda verdict: (verdict["filter"], *lake.place(verdict["subject"]))
    ).items():
        tried = [verdict["score"] for verdict in group if verdict["n"]]
        assert (gains[key]["tasks"], gains[key]["no_window"]) == (len(tried), len(group) - len(tried))
        assert gains[key]["gain"] == (pytest.approx(fmean(tried), abs=1e-4) if tried else None)
    bands = by(asked(scored, "difficulty"), "kind", "pass_rate")
    told = {0.0: "never", 0.1: "above 0", 0.25: "from .25", 0.5: "from .5", 0.99: "from .75", 1.0: "always"}
    counts, kept = Counter[Any](), Counter[Any]()
    for verdict in lake.of("replay"):
        key = lake.place(verdict["subject"])[1], told[verdict["score"]]
        counts[key] += 1
        kept[key] += sum(row["task"] == verdict["subject"] for row in lake.samples)
    assert {key: (row["tasks"], row["kept_trajectories"]) for key, row in bands.items()} == {
        key: (counts[key], kept[key]) for key in counts
    }


def test_teacher_and_student(scored: Scored, lake: Lake) -> None:
    rates = {verdict["subject"]: verdict["score"] for verdict in lake.of("replay")}
    counts = Counter[Any]()
    for verdict in lake.of("answer"):
        rate = rates[lake.candidates[verdict["subject"]]["task"]]
        student = "never" if rate == 0 else "always" if rate == 1 else "sometimes"
        counts["right" if verdict["score"] >= 0.5 else "wrong", student] += 1
    found = by(asked(scored, "teacher_and_student"), "teacher", "student")
    assert {key: row["candidates"] for key, row in found.items()} == counts


def test_what_answers_cost_and_how_long_stages_took(workspace: Path, answer: Answer) -> None:
    lines = [json.loads(line) for line in (workspace / "journal/oracle/main.jsonl").read_bytes().splitlines()]
    (cost,) = answer("cost", "-w", workspace)
    assert cost["answers"] == len(lines)
    assert cost["kept"] == len(rows(workspace, "samples"))
    films = by(answer("dearest", "-w", workspace), "video")
    for video in rows(workspace, "videos"):
        row, own = films[show("video", video["id"]),], [line for line in lines if line["video"] == show("video", video["id"])]
        tokens = [sum(line["answer"]["usage"][f"{name}_tokens"] for line in own) for name in ("prompt", "completion")]
        assert [row["answers"], row["input_tokens"], row["output_tokens"]] == [len(own), *tokens]
        assert row["usd"] == pytest.approx((tokens[0] + 4 * tokens[1]) / 1e6, abs=1e-4)
    took: defaultdict[str, float] = defaultdict(float)
    for path in (workspace / "runs").glob("*.json"):
        for stage in json.loads(path.read_bytes())["stages"]:
            took[stage["name"]] += stage.get("seconds", 0)
    slowest = by(answer("slowest", "-w", workspace), "stage")
    assert {name: row["seconds"] for (name,), row in slowest.items()} == pytest.approx(dict(took), abs=0.06)
    assert slowest["import",]["settled"] == len(rows(workspace, "outcomes", "import"))


def test_lines_of_the_journal_that_are_damaged_or_count_nothing_stop_no_audit(
    workspace: Path, answer: Answer, tmp_path: Path
) -> None:
    place = Path(shutil.copytree(workspace, tmp_path / "ws"))
    journal = place / "journal/oracle/main.jsonl"
    lines = journal.read_text().splitlines()
    spoilt = json.loads(lines[0])
    spoilt["answer"]["usage"] = {"prompt_tokens": -(10**30), "completion_tokens": 1.5}
    del spoilt["sha256"]  # as in journals of before, whose lines have no seal
    journal.write_text("\n".join([json.dumps(spoilt), *lines[1:], "[" * 20_000]) + "\n")
    (before,), (cost,) = answer("cost", "-w", workspace), answer("cost", "-w", place)
    used = json.loads(lines[0])["answer"]["usage"]
    assert (before["uncounted"], cost["uncounted"], cost["answers"]) == (0, 2, len(lines) + 1)
    assert before["input_tokens"] - cost["input_tokens"] == used["prompt_tokens"]
    films = answer("dearest", "-w", place)
    assert sum(film["answers"] for film in films) == len(lines)
    ask("report", tmp_path / "page.html", "-w", place)
    asked = {show("ask", request): row["id"] for row in rows(place, "candidates") for request in row["requests"]}
    paid = json.loads(ask("why", show("candidate", asked[spoilt["key"]]), "-w", place, "--json").stdout)["answers"]
    assert [line["input_tokens"] for line in paid if line["request"] == spoilt["key"]] == [None]


def test_two_selections_are_compared(workspace: Path, scored: Scored, answer: Answer, tmp_path: Path) -> None:
    samples = len(rows(workspace, "samples"))
    same = {"corpus": "cot", "where": "in both", "here": "", "samples": samples, "share": 1.0}
    assert answer("difference", "--with", workspace, "-w", workspace) == [same]
    (packed,) = (workspace / "shards/cot").glob("*/")
    assert answer("difference", "--with", packed, "-w", workspace) == [same]
    stricter = Path(shutil.copytree(workspace, tmp_path / "stricter"))
    recipe = (stricter / "recipe.toml").read_text()
    (stricter / "recipe.toml").write_text(recipe.replace("[stages.select_cot]", "[stages.select_cot]\ncaps = { kind = 1 }"))
    kept = json.loads(ask("select", "cot", "-w", stricter, "--json").stdout)["kept"]
    found = by(answer("difference", "--with", workspace, "-w", stricter), "where", "here")
    assert {key: row["samples"] for key, row in found.items()} == {
        ("in both", ""): kept,
        ("only there", "rejected: over its cap: kind"): samples - kept,
    }
    assert 0 < kept < samples
    assert "neither a workspace nor shards" in ask("audit", "difference", "--with", tmp_path, "-w", workspace, code=2).output
    assert "--with OTHER" in ask("audit", "difference", "-w", workspace, code=2).output


@pytest.mark.parametrize("name", query.names())
def test_on_an_empty_workspace_each_gives_an_empty_answer(name: str, tmp_path: Path, answer: Answer) -> None:
    ask("init", tmp_path / "ws", "--recipe", "demo")
    other = ("--with", tmp_path / "ws") if query.compares(name) else ()
    found = answer(name, *other, "-w", tmp_path / "ws")
    if name == "columns":  # what columns mean doesn't depend on rows
        assert {row["table"] for row in found} > {"tasks", "samples", "outcomes", "answers"}
    else:
        assert all(row["inputs"] == 0 for row in found) if name == "funnel" else not found


def test_columns_are_those_of_the_tables(workspace: Path, answer: Answer) -> None:
    described = {(row["table"], row["column"]): row for row in answer("columns", "-w", workspace)}
    own = answer("--sql", "SELECT table_name, column_name FROM information_schema.columns", "-w", workspace)
    tables = {row["table_name"] for row in own} & {table for table, _ in described}
    assert {"videos", "tasks", "candidates", "outcomes"} <= tables
    columns = {(table, column) for table, column in described if table in tables and "." not in column}
    assert columns == {(row["table_name"], row["column_name"]) for row in own if row["table_name"] in tables}
    assert described["tasks", "windows.start_cs"]["unit"] == "hundredths of a second"
    sql = "SELECT meaning FROM column_meanings WHERE table_name = 'tasks' AND column_name = 'windows.start_cs'"
    assert answer("--sql", sql, "-w", workspace) == [{"meaning": described["tasks", "windows.start_cs"]["meaning"]}]
    for table in ("answers", "brought", "evaluations", "prices", "run_stages", "stages", "gaps", "column_meanings"):
        names = [row["column_name"] for row in answer("--sql", f"DESCRIBE {table}", "-w", workspace)]
        assert names == [column for of, column in described if of == table and "." not in column], table


def test_each_is_listed_and_documented_with_its_question() -> None:
    told = json.loads(ask("audit", "--json").stdout)
    assert told == json.loads(ask("audit", "--list", "--json").stdout)
    listed = dict(told["rows"])
    assert sorted(listed) == sorted([*query.names(), "checks", "likeness"])
    page = (Path(__file__).parents[2] / "docs/audit.md").read_text()
    for name, question in listed.items():
        assert question.endswith("?")
        assert f"| `{name}` | {question} |" in page
