"""Published trajectories in a workspace: each a task and a candidate; what is exported of them comes back as the same task."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path

import pytest
from typer.testing import CliRunner

from dmforge import cli
from dmforge.curation.sources.published_turns import UNREADABLE
from tests.sources.published_rows import longvt
from tests.sources.test_corpora import dmforge, rows, workspace
from tests.support.barcodes import Case, write

TIMES = tuple(Fraction(tick, 2) for tick in range(24))
STAGES = ("rules", "[stages.select_cot.min_score]\ngrammar = 1.0\n", "pack")
EXPORTED = {
    "messages": ("trajectories.jsonl", "messages"),
    "swift": ("trajectories.jsonl", "llamafactory"),
    "verl": ("sft.parquet", "llamafactory"),
    "llamafactory": ("cot.json", "llamafactory"),
}
"""What each export calls its trajectories, and the format that reads them."""


@pytest.mark.slow
def test_a_published_trajectory_goes_through_a_workspace_and_comes_back_from_its_exports(tmp_path: Path) -> None:
    place, elsewhere, file = workspace(tmp_path / "a", *STAGES), workspace(tmp_path / "b"), tmp_path / "rows.json"
    video = write(Case("1", width=64, height=64, times_s=TIMES), tmp_path)
    sound = longvt(3.0, 9.5)
    unreadable = json.loads(json.dumps(longvt(9.5, 3.0)).replace("lamp", "door"))
    file.write_text(json.dumps([sound, unreadable, {**sound, "messages": sound["messages"][:2]}]))
    for folder in (place, elsewhere):
        dmforge("ingest", video, "-w", folder)
    assert dmforge("import", "longvt", file, "-w", place, "--json") == {
        "tasks": 2, "identical": 0, "flagged": {UNREADABLE: 1}, "rejected": {"nobody answers": 1},
    }  # fmt: skip
    kept = {question: json.loads(extras) for question, extras in rows(place, "SELECT question, extras FROM tasks")}
    assert {question: sorted(extras) for question, extras in kept.items()} == {
        "What colour is the lamp?": ["instructions", "row"], "What colour is the door?": ["instructions", "row", "turns"],
    }  # fmt: skip
    candidates = "SELECT task, looks, answer, transcript FROM candidates"
    ((task, looks, answer, transcript),) = rows(place, candidates)
    assert [(look["window"], look["fps"]) for look in looks] == [({"start_cs": 300, "end_cs": 950}, {"num": 1, "den": 1})]
    dmforge("run", "-w", place)
    for name in EXPORTED:
        dmforge("export", "cot", "--to", name, "--dialect", "tool", "--out", tmp_path / name, "-w", place)
    for name, (trajectories, form) in EXPORTED.items():
        words = ["import", form, str(tmp_path / name / trajectories), "-w", str(elsewhere), "--source", "back", "--json"]
        again = json.loads(CliRunner().invoke(cli.app, words).stdout)  # which of identical questions is the task is open
        assert (again["tasks"] + again["identical"], again["flagged"], again["rejected"]) == (1, {}, {})
        assert rows(elsewhere, candidates) == [(task, looks, answer, transcript)]
