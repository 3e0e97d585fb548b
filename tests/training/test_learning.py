"""The demo in its smallest form: a student imitates, practises and is examined, and what it was trained on can be traced."""

from __future__ import annotations

import json
import os
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from dmforge.commands import audit
from dmforge.commands.demo import chain
from dmforge.commands.demo.ranks import DemoRanks
from dmforge.curation.shards.corpus import Corpus
from dmforge.curation.workspace_folder import WorkspaceFolder
from dmforge.schemas.errors import DmforgeError, InputError

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

SIZE = chain.DemoSize(videos=48, practice=24, exam=24, imitations=110, updates=2, captions=30)
"""About 25 s of training on one idle core: enough for the form, and for windows about where windows are."""


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, chain.Finished]:
    folder = tmp_path_factory.mktemp("demo") / "out"
    return folder, chain.demo(folder, SIZE, Console(quiet=True), "dmforge demo")


def losses(folder: Path, way: str) -> list[float]:
    logged = [json.loads(line) for line in (folder / f"student/{way}/log.jsonl").read_text().splitlines()]
    return [entry["loss"] for entry in logged if "loss" in entry]


def test_it_learns_the_form_and_to_look_somewhere(finished: tuple[Path, chain.Finished]) -> None:
    folder, told = finished
    assert told.training
    figures, beside = told.training.before.figures, told.training.before.baselines
    assert losses(folder, "sft")[-1] < losses(folder, "sft")[0] / 4
    assert figures["format"].value > 0.8
    assert beside.constant_miou
    assert beside.constant_miou.value < 0.4
    assert figures["miou"].value > 0.2  # one that is untrained looks nowhere
    assert len(losses(folder, "sdgrpo")) == SIZE.updates


def test_what_it_is_examined_on_is_new_to_it(finished: tuple[Path, chain.Finished]) -> None:
    folder, told = finished
    assert told.training
    known = {packed.video.video for place in packed_in(folder, "workspace", "practice/workspace") for packed in place.videos()}
    assert len(told.training.after.rows) == SIZE.exam
    assert not known & {row.video for row in told.training.after.rows}


def test_what_it_did_stands_in_the_lake_of_what_it_is_examined_on(finished: tuple[Path, chain.Finished]) -> None:
    folder, told = finished
    assert told.training
    found = audit.audit(WorkspaceFolder(folder / "exam/workspace"), "checkpoints").rows
    shown = {row[0]: row for row in found}
    for one in (told.training.before, told.training.after):
        samples, form, miou = shown[one.name][3:6]
        assert samples == SIZE.exam
        assert (form, miou) == pytest.approx((one.figures["format"].value, one.figures["miou"].value), abs=1e-4)


def test_gains_are_of_the_same_tasks(finished: tuple[Path, chain.Finished]) -> None:
    _, told = finished
    assert told.training
    for name, gain in told.training.gains.items():
        then, now = (one.figures[name] for one in (told.training.before, told.training.after))
        if then.samples == now.samples:  # a density that nobody chose has no error
            assert gain.value == pytest.approx(now.value - then.value)
        assert gain.low <= gain.value <= gain.high


def test_whatever_was_trained_on_leads_back_to_a_paid_answer_or_to_the_students_own_rollouts(
    finished: tuple[Path, chain.Finished],
) -> None:
    folder, _ = finished
    for name, found_in in (("workspace", "answers"), ("practice/workspace", "rollouts")):
        samples = [sample.id for place in packed_in(folder, name) for packed in place.videos() for sample in packed.samples]
        assert samples
        for sample in samples:
            lineage = audit.why(WorkspaceFolder(folder / name), sample, check=False).lineage
            assert lineage.places
            assert getattr(lineage, found_in)
            assert lineage.source


def test_a_finished_demo_is_left_as_it_is(finished: tuple[Path, chain.Finished]) -> None:
    folder, told = finished
    before = contents(folder)
    again = chain.demo(folder, SIZE, Console(quiet=True), "dmforge demo")
    assert again.digest == told.digest
    assert again.training
    assert told.training
    assert again.training.as_json() == told.training.as_json()
    assert contents(folder) == before


def test_a_demo_of_another_size_is_not_gone_on_with(finished: tuple[Path, chain.Finished]) -> None:
    folder, _ = finished
    before = contents(folder)
    for other in (
        chain.DemoSize(SIZE.videos),
        replace(SIZE, imitations=SIZE.imitations + 1),
        replace(SIZE, videos=SIZE.videos + 1),
    ):
        with pytest.raises(InputError, match="a demo of another size"):
            chain.demo(folder, other, Console(quiet=True), "dmforge demo")
    assert contents(folder) == before


def packed_in(folder: Path, *workspaces: str) -> list[Corpus]:
    return [Corpus(str(place)) for name in workspaces for place in (folder / name / "shards").glob("*/*/")]


def contents(folder: Path) -> dict[str, Any]:
    """What trainings and lakes have left behind; runs are told anew each time."""
    kept = (
        *folder.glob("student/*/checkpoint-*/*.safetensors"),
        *folder.glob("**/shards/**/*.tar"),
        *folder.glob("**/lake/**/*"),
    )
    return {str(path): (path.stat().st_ino, path.stat().st_mtime_ns) for path in kept if path.is_file()}


def test_the_processes_of_a_training_pass_on_what_is_wrong_and_end_with_the_demo(tmp_path: Path) -> None:
    settings = tmp_path / "sft.toml"
    settings.write_text(
        'out = "out"\n[model]\nfrom_config = "speck"\n[data]\ncorpora = [{ place = "nowhere" }]\n[training]\nsteps = 1\n'
    )
    with DemoRanks("dmforge demo") as ranks:
        ranks.start()
        pids = ranks.pids
        with pytest.raises(InputError, match="nowhere"):
            ranks.run("sft", settings)
    assert not any(Path(f"/proc/{pid}").exists() for pid in pids)


def test_a_process_of_a_training_that_is_killed_is_told_of(tmp_path: Path) -> None:
    with DemoRanks("dmforge demo") as ranks:
        ranks.start()
        os.kill(ranks.pids[1], signal.SIGKILL)
        with pytest.raises(DmforgeError, match="has ended"):
            ranks.run("sft", tmp_path / "sft.toml")
