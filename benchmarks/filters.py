"""What the judges find of what was planted, and what they take from sound candidates: by defect, beside the rule for it.

An oracle spoils its replies in every way that it knows; tasks are said twice, asked of ears, and about videos that a benchmark
lists. Then the demo's recipe judges. Truth files say what is what; a candidate with two defects counts for neither. Which of
the defects are replay's to judge is said in the table. A second table is of the records that were spoilt by hand before there
was a rule (tests/judging).
"""

from __future__ import annotations

import argparse
import json
import os
import re
import tempfile
import time
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

from rich.console import Console

from dmforge.commands import intake, run
from dmforge.curation.lake.commits import Lake
from dmforge.curation.lake.views import LakeView
from dmforge.curation.sources.source_info import SourceInfo
from dmforge.generators.synthetic.oracle.behaviour import Behaviour
from dmforge.generators.synthetic.oracle.oracle_process import serving
from dmforge.generators.synthetic.oracle.planted_defects import ANSWER_DEFECTS, LOOK_DEFECTS
from dmforge.generators.synthetic.worlds.world_folder import LICENCE, SOURCE, WorldSettings, make_worlds
from dmforge.generators.teacher.teacher_config import KEY, URL
from dmforge.recipe import read_recipe
from dmforge.schemas.scoring import matches
from tests.judging import hand
from tests.support.tables import show

COMMAND = "python -m benchmarks.filters"
RATE = 0.035
REPLAY = {"needless_density", "low_density", "blind_answerable"}
RULE_FOR = {
    "wrong_window": "evidence", "right_answer_unseen": "evidence", "window_past_end": "window", "wrong_answer": "answer",
    "leaked_gold": "unleaked", "cited_off_stamps": "cited_stamps", "cited_past_end": "cited_inside",
    "cited_outside_window": "cited_inside", "span_equals_answer": "own_span", "malformed_tags": "grammar",
    "missing_answer": "answer_form", "doubled_answer": "answer_form", "text_after_answer": "answer_form",
    "repetition": "repetition", "empty_thought": "grammar", "other_language": "language", "needs_audio": "silent",
    "paraphrase_duplicate": "unique", "contaminated_id": "clean", "needless_density": "density", "low_density": "density",
    "asks_for_sound": "silent",
}  # fmt: skip
EVERY_PARAPHRASE, EVERY_LISTED, EVERY_HEARD = 4, 12, 5


def plant_tasks(worlds: Path) -> dict[tuple[str, str], str]:
    """Further tasks, spoilt; and what is wrong with which, by video and question."""
    tasks = [json.loads(line) for line in (worlds / "tasks.jsonl").read_text().splitlines()]
    planted: dict[tuple[str, str], str] = {}
    grounding = [task for task in tasks if task["kind"] == "grounding"]
    for task in grounding[::EVERY_PARAPHRASE]:
        again = re.sub(r"When is the (.*) on screen", r"At what time can the \1 be seen on the screen", task["question"])
        tasks.append({**task, "question": again})
        planted[task["video"], again] = planted[task["video"], task["question"]] = "paraphrase_duplicate"
    for task in grounding[1::EVERY_HEARD]:
        question = "What sound does it make as it comes in?"
        tasks.append({**task, "kind": "open", "question": question, "answer": "a bell"})
        planted[task["video"], question] = "asks_for_sound"
    (worlds / "tasks.jsonl").write_text("".join(json.dumps(task) + "\n" for task in tasks))
    return planted


def judged(folder: Path, videos: int, candidates: int) -> tuple[list[dict[str, Any]], dict[str, float], float]:
    """All candidates with their scores and what was planted; the thresholds; and how long judging took."""
    worlds, truth = folder / "worlds", folder / "planted.jsonl"
    make_worlds(worlds, WorldSettings(videos=videos))
    of_tasks = plant_tasks(worlds)
    listed = [f"world-{number:06d}" for number in range(0, videos, EVERY_LISTED)]
    (folder / "ids.txt").write_text("".join(f"v_{name}\n" for name in listed))
    place = run.init(folder / "ws", "demo")
    text = place.recipe.read_text().replace('model = "oracle" ', f'model = "oracle"\ncandidates = {candidates} #', 1)
    text = text.replace("[stages.needs_audio]", "[stages.benchmarks]\n[stages.contamination]\n[stages.needs_audio]")
    place.recipe.write_text(text.replace("[stages.select_cot.min_score]", "[stages.select_cot.min_score]\nclean = 1.0"))
    intake.add_videos(place, COMMAND, [str(worlds / "videos")], SourceInfo(SOURCE, LICENCE, namespace=SOURCE))
    intake.add_annotations(place, COMMAND, "jsonl", [worlds / "tasks.jsonl"])
    console = Console(quiet=True)
    intake.import_annotations(place, console, COMMAND, "ids", [folder / "ids.txt"], [], SourceInfo("listed", namespace=SOURCE))
    os.environ.pop(KEY, None)
    behaviour = Behaviour(
        knows=0.5, defects=dict.fromkeys((*LOOK_DEFECTS, *ANSWER_DEFECTS), RATE) | {"unsafe_t1": 0, "unsafe_t2": 0}
    )
    with serving(worlds, behaviour, truth) as url:
        os.environ[URL] = url
        list(run.run(place, console, COMMAND, until="annotate"))
    began = time.monotonic()
    list(run.run(place, console, COMMAND, until="select_cot"))
    took_s = time.monotonic() - began
    recipe = read_recipe(place.recipe)
    thresholds = next(stage for stage in recipe.stages if stage.name == "select_cot").config.model_dump()["min_score"]
    view = LakeView(Lake(place), recipe.stages).connection
    rows = view.execute("""
        SELECT c.id, p.source_id || '.mp4' AS video, t.question, c.attempt, c.answer, t.answer AS gold, t.options, t.task_kind,
            len(t.windows) > 0 AS has_windows, c.transcript
        FROM candidates c JOIN tasks t ON t.id = c.task JOIN provenances p ON p.video = c.video
    """)
    names = [column[0] for column in rows.description or []]
    rows_by_id = {row[0]: dict(zip(names, row, strict=True)) | {"scores": {}, "defects": set()} for row in rows.fetchall()}
    for id, name, score in view.execute("""
        SELECT s.id, v.filter, min(v.score) FROM (SELECT id, unnest([id, task, video]) AS subject FROM candidates) s
        JOIN verdicts v ON v.subject = s.subject GROUP BY ALL
    """).fetchall():
        rows_by_id[id]["scores"][name] = score
    of_replies: defaultdict[tuple[str, str, int], set[str]] = defaultdict(set)
    for line in map(json.loads, truth.read_text().splitlines()):
        of_replies[line["video"], line["question"], line["attempt"]].add(line["defect"])
    for row in rows_by_id.values():
        row["defects"] |= of_replies[row["video"], row["question"], row["attempt"]]
        row["duplicate"] = of_tasks.get((row["video"], row["question"])) == "paraphrase_duplicate"
        if of_tasks.get((row["video"], row["question"])) == "asks_for_sound":
            row["defects"].add("asks_for_sound")
        if row["video"].removesuffix(".mp4") in listed:
            row["defects"].add("contaminated_id")
    return list(rows_by_id.values()), thresholds, took_s


def base_of(defect: str) -> str:
    return defect.removesuffix("_t1").removesuffix("_t2")


def table(rows: list[dict[str, Any]], thresholds: dict[str, float]) -> list[list[object]]:
    """A line a defect: planted alone in so many, caught, by the rule that is meant for it, by which others."""
    lines: list[list[object]] = []
    kinds: defaultdict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in rows:
        row["missed"] = {name for name, value in thresholds.items() if row["scores"].get(name, 0.0) < value}
        defects = set(row["defects"])
        if "right_answer_unseen" in defects:  # planted in two steps: the window, then the answer
            defects.discard("wrong_window")
        if not defects and row["duplicate"]:
            continue
        if len(defects) == 1 and not row["duplicate"]:
            (defect,) = defects
            if defect in ("wrong_window", "right_answer_unseen") and not row["has_windows"]:
                defect += ", gold window not annotated"
            kinds[defect].append(row)
        elif not defects:
            kinds["none" if is_right(row) else "none planted, wrong by itself"].append(row)
    for defect, some in sorted(kinds.items()):
        caught = [row for row in some if row["missed"]]
        rule = RULE_FOR.get(base_of(defect.partition(",")[0]), "")
        others = Counter(name for row in some for name in row["missed"] if name != rule).most_common(3)
        lines.append([
            defect + (" (replay)" if defect in REPLAY else ""), len(some), len(caught), f"{100 * len(caught) / len(some):.2f}",
            rule, sum(rule in row["missed"] for row in some), ", ".join(f"{name} {number}" for name, number in others),
        ])  # fmt: skip
    return [*lines, duplicates(rows)]


def duplicates(rows: list[dict[str, Any]]) -> list[object]:
    """Of two tasks that say the same one must go, and one must stay: counted by pairs."""
    pairs: defaultdict[tuple[str, str], set[tuple[str, bool]]] = defaultdict(set)
    for row in rows:
        if row["duplicate"]:
            which = next(iter(re.findall("first|second", row["question"])), "")
            pairs[row["video"], which].add((row["question"], "unique" in row["missed"]))
    caught = sum(sorted(missed for _, missed in pair) == [False, True] for pair in pairs.values())
    return ["paraphrase_duplicate, pairs", len(pairs), caught, f"{100 * caught / max(1, len(pairs)):.2f}", "unique", caught, ""]


def is_right(row: dict[str, Any]) -> bool:
    return row["task_kind"] == "grounding" or matches(row["answer"], row["gold"], tuple(row["options"]))


def by_hand(folder: Path) -> list[list[object]]:
    """The same of the records that were spoilt by hand, beside those that are sound."""
    records = hand.read()
    twins = hand.twins(records, folder)
    by_defect: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for record in records:
        missed = {
            *hand.missed(record),
            *(["unique"] if twins.get(record.name, 1.0) < 0.6 else ()),
            *(["clean"] if hand.is_listed(record) else ()),
        }
        counts = by_defect[record.defect or "none"]
        counts.update({"records": 1, "caught": int(bool(missed)), **dict.fromkeys(missed, 1)})
    return [
        [defect, n["records"], n["caught"], f"{100 * n['caught'] / n['records']:.0f}",
         ", ".join(name for name in sorted(n) if name not in ("records", "caught"))]
        for defect, n in sorted(by_defect.items())
    ]  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--videos", type=int, default=170)
    parser.add_argument("--candidates", type=int, default=3)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="dmforge-filters-") as folder:
        rows, thresholds, took_s = judged(Path(folder), arguments.videos, arguments.candidates)
    columns = ["planted", "candidates", "caught", "%", "by the rule for it", "so many", "also by"]
    title = f"{len(rows)} candidates, judged in {took_s:.1f} s"
    show(title, f"{COMMAND} --videos {arguments.videos} --candidates {arguments.candidates}", columns, table(rows, thresholds))
    for row in rows:
        if not row["defects"] and not row["duplicate"] and row["missed"] and is_right(row):
            print("rejected, nothing planted:", sorted(row["missed"]), row["question"], row["answer"], row["gold"])
    with tempfile.TemporaryDirectory(prefix="dmforge-filters-") as folder:
        show("Spoilt by hand", COMMAND, ["defect", "records", "caught", "%", "by"], by_hand(Path(folder)))


if __name__ == "__main__":
    main()
