"""A student from scratch learns from packed worlds: the loss falls, and on other worlds it looks; untrained it can't."""

from __future__ import annotations

import json
from pathlib import Path
from statistics import mean
from typing import Any

import pytest
from typer.testing import CliRunner

from dmforge import cli
from dmforge.curation.shards.corpus import Corpus
from dmforge.trainers.settings import read_sft
from dmforge.trainers.sft import train
from tests.training.conftest import write_settings
from tests.training.test_evaluate import invoked, recomputed, rows_in, write_evaluation

STEPS = 100
"""About 20 s on one idle core: enough for the form, and for a window about where windows are; not for seeing."""


@pytest.fixture(scope="module")
def more(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The worlds of `corpus` and four that it doesn't have."""
    words = ["demo", "--out", str(tmp_path_factory.mktemp("more") / "out"), "--videos", "10", "--json"]
    told = CliRunner().invoke(cli.app, words)
    assert told.exit_code == 0, told.output
    return Path(json.loads(told.stdout)["corpora"]["cot"]["path"])


def held_out(rows: list[dict[str, Any]], trained_on: Path) -> list[dict[str, Any]]:
    known = {packed.video.video for packed in Corpus(str(trained_on)).videos()}
    return [row for row in rows if row["video"] not in known]


def test_it_learns_the_form_and_to_look_somewhere(corpus: Path, more: Path, random_checkpoint: Path, tmp_path: Path) -> None:
    told = write_settings(
        tmp_path / "sft.toml", corpus, model_scratch='"tiny"', data_most_samples="4", training_steps=str(STEPS),
        training_learning_rate="2e-3", training_warmup_steps="10", saving_save_every="1000", saving_log_every="10",
    )  # fmt: skip
    done = train(read_sft(told))
    logged = [json.loads(line) for line in (tmp_path / "out/log.jsonl").read_text().splitlines()]
    losses = [entry["loss"] for entry in logged if "loss" in entry]
    assert losses[-1] < losses[0] / 4
    found: dict[str, list[dict[str, Any]]] = {}
    for name, checkpoint in (("learnt", done.checkpoint), ("untrained", random_checkpoint)):
        path = write_evaluation(
            tmp_path / "e.toml", checkpoint, [str(more)], f'out = "{name}"\nbatch_rows = 64\n[roll]\nmost_tokens = 150\n'
        )
        metrics = json.loads(invoked(path, "--json"))["metrics"]
        rows = rows_in(tmp_path / name)
        assert {key: metrics[key] for key in recomputed(rows)} == pytest.approx(recomputed(rows))
        found[name] = held_out(rows, corpus)
    assert len(found["learnt"]) > 5
    assert mean(row["ending"] == "answered" for row in found["learnt"]) > 0.3
    learnt, untrained = (mean(row["iou"] for row in found[name]) for name in ("learnt", "untrained"))
    assert learnt > untrained + 0.05
