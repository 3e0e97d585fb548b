"""Trains the demo's student: captions, imitation, practice on tasks that it neither always nor never solves, and evaluation.

It is evaluated before and after practice, in worlds that it has never seen.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from dmforge.commands.demo.ranks import DemoRanks
from dmforge.curation.io.atomic import writing
from dmforge.curation.io.command_result import Block, CommandResult, TextTable
from dmforge.schemas.looks import print_span
from dmforge.trainers.evaluate import Evaluation
from dmforge.trainers.evaluation_settings import BootstrapSettings
from dmforge.trainers.metrics import MEASURES, Figure, gain

LESSON = """# What the student learns first: to say what single patches show. `dmforge train sft {name}` goes on.
out = "captions"
[model]
from_config = "mote"
vocabulary = ["{cot}", "{place}"]  # it has words for what comes later, too
[data]
corpora = [{{ place = "{place}" }}]
max_samples = 32
max_tokens = 16384
workers = 0  # each core has a process that trains
keep_mb = 256
[training]
steps = {steps}
learning_rate = 2e-3
warmup_steps = 40
schedule = "constant_with_warmup"
[until]  # it ends once most of what it wasn't shown is right: three captions and a name at once
corpus = "{held_out}"
exact = 0.6
[saving]
save_every = 250
log_every = 20
device = "cpu"
"""
IMITATION = """# What the student imitates: `dmforge train sft {name}` goes on where it was stopped.
out = "sft"
[model]
checkpoint = "./{checkpoint}"
[data]
corpora = [{{ place = "{place}" }}]
max_samples = 8
max_tokens = 16384
workers = 0
keep_mb = 256
[training]
steps = {steps}
learning_rate = 2e-3
warmup_steps = 40
[saving]
save_every = 250
log_every = 20
device = "cpu"
"""
PRACTICE = """# What the student practises: `dmforge train sdgrpo {name}` goes on where it was stopped.
out = "sdgrpo"
[model]
checkpoint = "./{checkpoint}"
[data]
corpora = [{{ place = "{place}" }}]
prompts = 8
workers = 0
[rollout]
temperature = 0.8  # at 1 so small a student breaks one rollout in twelve, which is then all that practice learns from
max_tokens = 160
[rewards]
teacher_densities = true  # what the file says of densities is the worlds' own truth
[training]
steps = {steps}
learning_rate = 3e-4
warmup_steps = 5
betas = [0.9, 0.95]
beta = 0.0
holistic = 0.0
[saving]
save_every = 20
log_every = 1
device = "cpu"
"""
EXAM = """# How the student is examined: `dmforge evaluate {name}`.
checkpoint = "./{checkpoint}"
corpora = ["{exam}"]
baseline_corpora = ["{place}"]
workspace = "{workspace}"
out = "{out}"
device = "cpu"
batch_rows = 64
[roll]
max_tokens = 160
"""


COMPARED = ("format", "miou", "accuracy", "density_error")


@dataclass(frozen=True, slots=True)
class Places:
    """The folders of the packed corpora."""

    captions: Path
    """What single patches of the same worlds show, and `held_out` of others."""
    held_out: Path
    cot: Path
    practice: Callable[[Path], Path]
    """Packs what a checkpoint should practise on."""
    exam: Path


@dataclass(frozen=True, slots=True)
class DemoTraining(CommandResult):
    """The results of the demo's training."""

    before: Evaluation
    """After imitation."""
    after: Evaluation
    """After practice."""
    gains: dict[str, Figure]
    """The gain by practice of each measure, on the same tasks."""

    def as_json(self) -> dict[str, object]:
        """The results as one JSON document: the evaluation at the end, the one before practice, and paired gains."""
        gain_values = {
            measure_name: {"value": gain_figure.value, "interval": [gain_figure.low, gain_figure.high]}
            for measure_name, gain_figure in self.gains.items()
        }
        return {"evaluation": self.after.metrics(), "before": self.before.metrics(), "gains": gain_values}

    def blocks(self) -> Iterator[Block]:
        yield f"The student in {self.after.samples} tasks about worlds that it has never seen:"
        table_columns = ["", "after imitation", "after practice", "gain", "95 % of resampled videos"]
        table_rows = [
            [measure_name, *(f"{evaluation.figures[measure_name].value:.3f}" for evaluation in (self.before, self.after)),
             f"{gain_figure.value:+.3f}", f"{gain_figure.low:+.3f} - {gain_figure.high:+.3f}"]
            for measure_name, gain_figure in self.gains.items()
        ]  # fmt: skip
        yield TextTable(table_columns, table_rows)
        constant_span, constant_miou = self.after.baselines.constant_span, self.after.baselines.constant_miou
        if constant_span and constant_miou:
            yield f"Who always looks at {print_span(constant_span)}: miou {constant_miou.value:.3f}"


@dataclass(frozen=True, slots=True)
class Desk:
    """The folder of the student's files: settings that anyone can run again, with paths relative to it."""

    folder: Path
    ranks: DemoRanks

    def learn_captions(self, places: Places, steps: int) -> Path:
        """Train a student from scratch on captions; the checkpoint."""
        settings = self._write_settings(
            "captions", LESSON, place=places.captions, held_out=places.held_out, cot=places.cot, steps=steps
        )
        return self.ranks.run("sft", settings)

    def imitate(self, checkpoint: Path, cot_corpus: Path, steps: int) -> Path:
        """Train by SFT on trajectories; the checkpoint."""
        settings = self._write_settings("sft", IMITATION, checkpoint=checkpoint, place=cot_corpus, steps=steps)
        return self.ranks.run("sft", settings)

    def practise(self, checkpoint: Path, rl_corpus: Path, updates: int) -> Path:
        """Train by SD-GRPO on rewards; the checkpoint."""
        settings = self._write_settings("sdgrpo", PRACTICE, checkpoint=checkpoint, place=rl_corpus, steps=updates)
        return self.ranks.run("sdgrpo", settings)

    def examine(self, name: str, checkpoint: Path, exam_corpus: Path, cot_corpus: Path) -> Evaluation:
        """Evaluate a checkpoint in unseen worlds; the constant-window baseline chooses its window in `cot_corpus`."""
        settings_path = self._write_settings(
            name, EXAM, checkpoint=checkpoint, exam=exam_corpus, place=cot_corpus, workspace=exam_corpus.parents[2], out=name
        )
        return self.ranks.run("evaluate", settings_path)

    def _write_settings(self, name: str, template: str, **values: Path | int | str) -> Path:
        settings_path = self.folder / f"{name}.toml"
        template_values = {
            template_key: os.path.relpath(template_value, self.folder) if isinstance(template_value, Path) else template_value
            for template_key, template_value in values.items()
        }
        with writing(settings_path) as settings_file:
            settings_file.write(template.format(name=settings_path.name, **template_values).encode())
        return settings_path


def train_student(
    folder: Path, places: Places, captions: int, imitations: int, updates: int, ranks: DemoRanks, console: Console
) -> DemoTraining:
    """Run at most `captions` steps of SFT on captions and `imitations` on trajectories, then `updates` updates of SD-GRPO, and
    evaluate before these and behind them."""
    desk = Desk(folder, ranks)
    console.print("learning to say what single patches show: a student from scratch", highlight=False)
    captioning_checkpoint = desk.learn_captions(places, captions)
    console.print(f"imitating the teacher: {imitations} steps", highlight=False)
    imitated_checkpoint = desk.imitate(captioning_checkpoint, places.cot, imitations)
    practice_folder = places.practice(imitated_checkpoint)
    console.print(f"practising: {updates} updates from exact rewards", highlight=False)
    practised_checkpoint = desk.practise(imitated_checkpoint, practice_folder, updates)
    evaluation_before, evaluation_after = (
        desk.examine(*name_and_checkpoint, places.exam, places.cot)
        for name_and_checkpoint in (("before", imitated_checkpoint), ("after", practised_checkpoint))
    )
    return DemoTraining(evaluation_before, evaluation_after, gains(evaluation_before, evaluation_after))


def gains(before: Evaluation, after: Evaluation) -> dict[str, Figure]:
    """The paired gains of measures between two evaluations of the same tasks."""
    bootstrap_settings = BootstrapSettings()
    paired_gains = {
        measure_name: gain(
            before.rows, after.rows, MEASURES[measure_name], bootstrap_settings.resamples, bootstrap_settings.seed
        )
        for measure_name in COMPARED
    }
    return {measure_name: gain_figure for measure_name, gain_figure in paired_gains.items() if gain_figure is not None}
