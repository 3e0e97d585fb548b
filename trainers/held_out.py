"""Measures a student while it learns, by greedy rollouts on samples that it doesn't learn from, and knows its best checkpoint.

The rollouts are those of `dmforge evaluate`, without the baselines, on as few samples as the settings say; ranks share them.
What was measured stands in log.jsonl as `evaluation/miou` and so on, and is all that the best checkpoint is known by.
"""

from __future__ import annotations

from typing import Any

from transformers import TrainerCallback

from dmforge.curation.shards.examples import Example
from dmforge.generators.inference.engines.engine import Sampling
from dmforge.generators.inference.engines.transformers_engine import TransformersEngine
from dmforge.generators.inference.rollout import RolloutLimits, roll
from dmforge.generators.inference.sample_request import sample_request
from dmforge.trainers.base_trainer import ResumableTrainer
from dmforge.trainers.best_checkpoint import PREFIX, is_exhausted
from dmforge.trainers.evaluate import open_measured_corpus
from dmforge.trainers.evaluation_rows import EvaluationRow, row_of, with_several_looks
from dmforge.trainers.metric_accumulator import MetricAccumulator
from dmforge.trainers.metrics import MEASURES
from dmforge.trainers.training_settings import HeldOutSettings

ROWS = 32
"""Trajectories that are rolled out in one batch."""


class HeldOutEvaluation(TrainerCallback):
    """Measures now and then, has a checkpoint made each time, and ends the training where it no longer gets better."""

    def __init__(self, trainer: ResumableTrainer, settings: HeldOutSettings) -> None:
        self._trainer, self._settings = trainer, settings
        self._corpora = [open_measured_corpus(place) for place in settings.corpora]
        self._engine = TransformersEngine(trainer.student)

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if state.global_step % self._settings.every and state.global_step < state.max_steps:
            return
        should_log = control.should_log
        self._trainer.log(self._figures())  # which tells Hugging Face's Trainer that this step has been logged
        control.should_log, control.should_save = should_log, True
        if is_exhausted(self._trainer.out, self._settings, state.global_step):
            control.should_training_stop = control.should_log = True

    def _figures(self) -> dict[str, float]:
        """The means over all ranks."""
        trainer, tally = self._trainer, MetricAccumulator(MEASURES)
        rank, ranks = trainer.args.process_index, trainer.args.world_size
        with trainer.rolling():
            for corpus in self._corpora:
                own_indices = corpus.spread(self._settings.max_samples)[rank::ranks]
                for first in range(0, len(own_indices), ROWS):
                    for row in self._rows(corpus.read(own_indices[first : first + ROWS])):
                        for name, measure in MEASURES.items():
                            value = measure(row)
                            tally.add(name, [] if value is None else [value])
        return {PREFIX + name: round(mean, 6) for name, mean in tally.means(trainer.accelerator).items()}

    def _rows(self, examples: list[Example]) -> list[EvaluationRow]:
        limits = self._settings.roll
        requests = [sample_request(example, Sampling(0, max_tokens=limits.max_tokens)) for example in examples]
        results = roll(self._engine, requests, RolloutLimits(limits.max_looks, limits.max_visual_tokens))
        return [
            with_several_looks(
                row_of(example.sample, example.video.video, result, result),
                example.sample,
                example.video.duration_cs,
                result,
                {},
            )
            for example, result in zip(examples, results, strict=True)
        ]
