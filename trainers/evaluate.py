"""How good is a checkpoint? Greedy rollouts on samples that it has not seen, by the same rollout as replay and RL.

    dmforge evaluate evaluate.toml                                                # one process
    torchrun --nproc-per-node 8 -m dmforge.cli evaluate evaluate.toml              # eight GPUs: they share the samples

Each sample is rolled out twice: freely, and with a forced look at the whole video, at the density that it chose. The second
is the baseline of uniform frames: it shows what choosing a window is worth. With `[roll] held_to` it is also rolled out held to
fewer looks, which shows what a further look is worth. Where it may look several times, looks made are told from looks needed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

from dmforge.curation.io.atomic import disk_errors, make_folder, write_json, write_json_lines
from dmforge.curation.io.command_result import Block, CommandResult, TextTable
from dmforge.curation.shards.corpus import Corpus
from dmforge.curation.shards.examples import Example
from dmforge.generators.inference.engines.engine import Engine, Sampling
from dmforge.generators.inference.engines.open_engine import open_engine
from dmforge.generators.inference.engines.transformers_engine import TransformersEngine
from dmforge.generators.inference.rollout import RolloutLimits, RolloutRequest, RolloutResult, roll
from dmforge.generators.inference.sample_request import sample_request
from dmforge.generators.student.load_student import load
from dmforge.schemas.clips import Clips
from dmforge.schemas.errors import InputError
from dmforge.schemas.looks import Look, Window, print_span
from dmforge.trainers.baselines import Baselines, baselines
from dmforge.trainers.evaluated_samples import add_to_lake
from dmforge.trainers.evaluation_ranks import ALONE, Ranks, process_count, ranks
from dmforge.trainers.evaluation_rows import (
    EvaluationRow,
    row_of,
    with_several_looks,
)
from dmforge.trainers.evaluation_settings import EvaluationSettings, RollSettings
from dmforge.trainers.held_rollouts import roll_held
from dmforge.trainers.metrics import Figure, figures, figures_by_need, held_figures
from dmforge.trainers.target_windows import target_sets, target_spans

ROWS, METRICS = "rows.jsonl", "metrics.json"


@dataclass(frozen=True, slots=True)
class Evaluation(CommandResult):
    """The figures of a checkpoint, beside the baselines, and the rows that they come from."""

    checkpoint: str
    """The folder or the id that the settings name."""
    samples: int
    figures: dict[str, Figure]
    baselines: Baselines
    folder: Path
    rows: Sequence[EvaluationRow]
    figures_by_need: Mapping[int, Mapping[str, Figure]] = field(default_factory=dict[int, Mapping[str, Figure]])
    """Figures by how many looks tasks need; empty where looks made aren't told from looks needed."""
    held_figures: Mapping[int, Mapping[str, Figure]] = field(default_factory=dict[int, Mapping[str, Figure]])
    """Figures of the same policy by how many looks it was held to."""

    @property
    def name(self) -> str:
        """What the checkpoint is called in the lake."""
        return Path(self.checkpoint).name

    def as_json(self) -> dict[str, Any]:
        """The document of `--json`."""
        return {"metrics": self.metrics(), "checkpoint": self.checkpoint, "path": str(self.folder)}

    def blocks(self) -> Iterator[Block]:
        """The figures with their intervals, then the baselines."""
        constant_span, baselines = self.baselines.constant_span, self.baselines
        figures_by_name = {
            **self.figures,
            **_with_group("needs", self.figures_by_need),
            **_with_group("held to", self.held_figures),
            f"constant span {print_span(constant_span)}: miou" if constant_span else "": baselines.constant_miou,
            "constant windows: miou_set": baselines.constant_miou_set,
            "uniform frames: accuracy": baselines.uniform_frames,
            "uniform frames: miou_set": baselines.uniform_miou_set,
            "longest option: accuracy": baselines.longest_option,
        }
        table_rows = [
            [
                figure_name,
                f"{metric_figure.value:.3f}",
                f"{metric_figure.low:.3f} - {metric_figure.high:.3f}",
                metric_figure.samples,
            ]
            for figure_name, metric_figure in figures_by_name.items()
            if metric_figure is not None
        ]
        yield TextTable(["", "mean", "95 % of resampled videos", "samples"], table_rows)
        yield ""
        yield f"{self.samples} samples, line by line: {self.folder}"

    def metrics(self) -> dict[str, object]:
        """Figures by name, with their intervals and numbers of samples."""
        baseline_scores = self.baselines
        baseline_values = {
            "constant_span": baseline_scores.constant_miou
            and {"miou": baseline_scores.constant_miou.value, **_constant_window(baseline_scores)},
            "constant_windows": baseline_scores.constant_miou_set
            and {"miou_set": baseline_scores.constant_miou_set.value, **_constant_windows(baseline_scores)},
            "uniform_frames": _values(accuracy=baseline_scores.uniform_frames, miou_set=baseline_scores.uniform_miou_set),
            "longest_option": _values(accuracy=baseline_scores.longest_option),
        }
        groups = {"by_needed_looks": self.figures_by_need, "held_to": self.held_figures}
        return {
            "samples": self.samples,
            **_with_intervals(self.figures),
            **{
                group_key: {str(number): _with_intervals(group_figures) for number, group_figures in group.items()}
                for group_key, group in groups.items()
                if group
            },
            "baselines": {
                figure_name: baseline_value for figure_name, baseline_value in baseline_values.items() if baseline_value
            },
        }


def _with_intervals(figures_by_name: Mapping[str, Figure]) -> dict[str, object]:
    return {
        **_values(**figures_by_name),
        "intervals": {
            figure_name: [metric_figure.low, metric_figure.high] for figure_name, metric_figure in figures_by_name.items()
        },
        "counted": {figure_name: metric_figure.samples for figure_name, metric_figure in figures_by_name.items()},
    }


def _values(**figure_or_none_by_name: Figure | None) -> dict[str, float]:
    return {name: metric_figure.value for name, metric_figure in figure_or_none_by_name.items() if metric_figure is not None}


def _with_group(group_name: str, group: Mapping[int, Mapping[str, Figure]]) -> dict[str, Figure]:
    """Figures of a group by the names that they have in the table: `needs 2: accuracy`."""
    return {
        f"{group_name} {number}: {figure_name}": metric_figure
        for number, group_figures in group.items()
        for figure_name, metric_figure in group_figures.items()
    }


def _constant_windows(baselines: Baselines) -> dict[str, object]:
    windows_s = {
        str(number): [[window.start_cs / 100, window.end_cs / 100] for window in windows]
        for number, windows in baselines.constant_sets.items()
    }
    return {"windows_s": windows_s}


def _constant_window(baselines: Baselines) -> dict[str, object]:
    constant_span = baselines.constant_span
    return {"window_s": [constant_span.start_cs / 100, constant_span.end_cs / 100]} if constant_span else {}


def evaluate(settings: EvaluationSettings) -> Evaluation:
    """Roll out, score, and write rows.jsonl and metrics.json."""
    if settings.engine is not None and process_count() > 1:
        hint = f"start one process, and say processes = {process_count()} in [engine]"
        raise InputError("vLLM has processes of its own, one for each GPU", where="[engine]", hint=hint)
    with ranks() as own_ranks:
        return _evaluate(settings, own_ranks)


def _evaluate(settings: EvaluationSettings, own_ranks: Ranks) -> Evaluation:
    corpora = [open_measured_corpus(corpus_location) for corpus_location in settings.corpora]
    baseline_corpora = [open_measured_corpus(corpus_location) for corpus_location in settings.baseline_corpora] or corpora
    engine = _open_engine(settings, own_ranks)
    try:
        evaluation_rows = [row for corpus in corpora for row in roll_out_corpus(engine, corpus, settings, own_ranks)]
    finally:
        engine.close()
    resamples, seed = settings.bootstrap.resamples, settings.bootstrap.seed
    window_sets = target_sets(baseline_corpora) if settings.roll.measures_several_looks else ()
    evaluation = Evaluation(
        settings.checkpoint,
        len(evaluation_rows),
        figures(evaluation_rows, resamples, seed),
        baselines(evaluation_rows, target_spans(baseline_corpora), resamples, seed, window_sets),
        Path(settings.out),
        evaluation_rows,
        figures_by_need(evaluation_rows, resamples, seed),
        held_figures(evaluation_rows, resamples, seed),
    )
    if own_ranks.is_first:
        _write_files(evaluation)
        if settings.workspace:
            add_to_lake(evaluation.name, evaluation.rows, settings, corpora)
    return evaluation


def _open_engine(settings: EvaluationSettings, own_ranks: Ranks) -> Engine:
    """The engine that the settings name; without any the student in this process."""
    if settings.engine is not None:
        return open_engine(settings.engine, settings.checkpoint, settings.dialect)
    weights, device = getattr(torch, settings.weights), own_ranks.device(settings.device)
    return TransformersEngine(load(settings.checkpoint, weights, device, dialect=settings.dialect))


def roll_out_corpus(
    engine: Engine, corpus: Corpus, settings: EvaluationSettings, own_ranks: Ranks = ALONE
) -> list[EvaluationRow]:
    """The rows of a corpus, in its order; ranks share its samples."""
    sample_indices = corpus.spread(settings.max_samples or len(corpus))
    own_indices, own_rows = own_ranks.share(sample_indices), list[EvaluationRow]()
    for batch_start in range(0, len(own_indices), settings.batch_rows):
        examples = corpus.read(own_indices[batch_start : batch_start + settings.batch_rows])
        own_rows += _roll_out(engine, examples, corpus.clips, settings.roll)
    return own_ranks.joined(own_rows, len(sample_indices))


def _roll_out(engine: Engine, examples: Sequence[Example], clips: Clips, settings: RollSettings) -> Iterator[EvaluationRow]:
    sampling = Sampling(temperature=0, max_tokens=settings.max_tokens)
    free_requests = [sample_request(example, sampling) for example in examples]
    free_results = roll(engine, free_requests, RolloutLimits(settings.max_looks, settings.max_visual_tokens))
    uniform_requests = [
        _uniform_request(free_request, free_result, example, clips)
        for free_request, free_result, example in zip(free_requests, free_results, examples, strict=True)
    ]
    uniform_results = roll(engine, uniform_requests, RolloutLimits(settings.max_looks, settings.max_visual_tokens))
    rows = [
        row_of(example.sample, example.video.video, free_result, uniform_result)
        for example, free_result, uniform_result in zip(examples, free_results, uniform_results, strict=True)
    ]
    if not settings.measures_several_looks:
        yield from rows
        return
    held_by_row = roll_held(engine, free_requests, free_results, settings.held_to, settings.max_visual_tokens)
    for row, example, free_result, held_results in zip(rows, examples, free_results, held_by_row, strict=True):
        yield with_several_looks(row, example.sample, example.video.duration_cs, free_result, held_results)


def _uniform_request(request: RolloutRequest, result: RolloutResult, example: Example, clips: Clips) -> RolloutRequest:
    """The same request with a look at the whole video forced on it, at the density that the policy chose, and for as many
    tokens where it asked for some."""
    chosen = result.looks[0] if result.looks else Look(Window(0, 1), clips.coarse_fps)
    return replace(request, forced=Look(Window(0, example.video.duration_cs), chosen.fps, tokens=chosen.tokens))


def open_measured_corpus(corpus_location: str) -> Corpus:
    """A corpus to measure on; an empty one is refused."""
    corpus = Corpus(corpus_location)
    if not len(corpus):
        raise InputError("this corpus is empty", where=corpus_location, hint="select with a lower threshold, and pack again")
    return corpus


def _write_files(evaluation: Evaluation) -> None:
    with disk_errors(evaluation.folder):
        make_folder(evaluation.folder)
        write_json_lines(evaluation.folder / ROWS, (row.line() for row in evaluation.rows))
        write_json(evaluation.folder / METRICS, evaluation.metrics())
