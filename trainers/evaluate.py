"""How good is a checkpoint? Rolled out greedily on samples that it has not seen, by the rollout that replay and RL use.

    dmforge evaluate evaluate.toml

Each sample is rolled out twice: as it is, and with the look taken out of its hands and laid over the whole video, as dense
as it chose. That is the baseline of uniform frames: what choosing a window is worth.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from dmforge.curation.atomic import disk_errors, make_folder, write_json, writing
from dmforge.curation.lake.evaluations import keep_evaluation
from dmforge.curation.shards.corpus import Corpus, Example
from dmforge.curation.workspace import Workspace
from dmforge.generators.engines.contract import Sampling
from dmforge.generators.engines.transformers import TransformersEngine
from dmforge.generators.renditions import footage_of
from dmforge.generators.rollout import Limits, Quest, Rolled, prompt_of, roll
from dmforge.generators.student.load import load
from dmforge.generators.student.named import StudentConfig
from dmforge.schemas.clips import Clips
from dmforge.schemas.errors import InputError
from dmforge.schemas.ids import Id, digest, read, show
from dmforge.schemas.looks import Look, Window, read_density
from dmforge.schemas.records import Evaluated
from dmforge.trainers.baselines import Baselines, baselines
from dmforge.trainers.evaluation_settings import EvaluationSettings, RollSettings
from dmforge.trainers.metrics import Figure, figures
from dmforge.trainers.rows import Row, row_of, target_of

ROWS, METRICS = "rows.jsonl", "metrics.json"


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What a checkpoint did."""

    checkpoint: str
    samples: int
    figures: dict[str, Figure]
    baselines: Baselines
    folder: Path
    rows: Sequence[Row]

    def told(self) -> dict[str, object]:
        """As one JSON document: figures by name, their intervals and samples beside them."""
        beside = self.baselines
        others = {
            "constant_span": beside.constant_miou and {"miou": beside.constant_miou.value, **_window(beside)},
            "uniform_frames": beside.uniform_frames and {"accuracy": beside.uniform_frames.value},
            "longest_option": beside.longest_option and {"accuracy": beside.longest_option.value},
        }
        return {
            "samples": self.samples,
            **{name: one.value for name, one in self.figures.items()},
            "intervals": {name: [one.low, one.high] for name, one in self.figures.items()},
            "counted": {name: one.samples for name, one in self.figures.items()},
            "baselines": {name: one for name, one in others.items() if one},
        }


def _window(told: Baselines) -> dict[str, object]:
    span = told.constant_span
    return {"window_s": [span.start_cs / 100, span.end_cs / 100]} if span else {}


def evaluate(settings: EvaluationSettings) -> Evaluation:
    """Roll out, score, and leave rows.jsonl and metrics.json behind."""
    corpora = [_opened(place) for place in settings.corpora]
    chosen_on = [_opened(place) for place in settings.baseline_corpora] or corpora
    device = "cuda" if settings.device == "auto" and torch.cuda.is_available() else "cpu"
    student = load(settings.checkpoint, getattr(torch, settings.weights), device)
    engine = TransformersEngine(student)
    rows = [row for corpus in corpora for row in rolled_out(engine, corpus, settings)]
    resamples, seed = settings.bootstrap.resamples, settings.bootstrap.seed
    found = Evaluation(
        Path(settings.checkpoint).name,
        len(rows),
        figures(rows, resamples, seed),
        baselines(rows, spans_of(chosen_on), resamples, seed),
        Path(settings.out),
        rows,
    )
    _leave(found)
    if settings.workspace:
        _keep(found, settings, corpora)
    return found


def rolled_out(engine: TransformersEngine, corpus: Corpus, settings: EvaluationSettings) -> Iterator[Row]:
    """The rows of a corpus, in its order."""
    most = min(settings.most_samples or len(corpus), len(corpus))
    numbers = np.linspace(0, len(corpus) - 1, most).round().astype(int).tolist()
    for first in range(0, most, settings.batch_rows):
        yield from _rows(engine, corpus.read(numbers[first : first + settings.batch_rows]), corpus.clips, settings.roll)


def _rows(engine: TransformersEngine, examples: Sequence[Example], clips: Clips, told: RollSettings) -> Iterator[Row]:
    quests = [_quest(example, clips, told) for example in examples]
    free = roll(engine, quests, Limits(told.most_looks, told.most_visual_tokens))
    whole = [_over_all(quest, one, example, clips) for quest, one, example in zip(quests, free, examples, strict=True)]
    uniform = roll(engine, whole, Limits(told.most_looks, told.most_visual_tokens))
    for example, one, other in zip(examples, free, uniform, strict=True):
        yield row_of(example.sample, example.video.video, one, other)


def _quest(example: Example, clips: Clips, told: RollSettings) -> Quest:
    footage = footage_of(example, clips)
    pieces = [piece for piece in example.sample.transcript.pieces if piece.author == "prompt"]
    return Quest(prompt_of(pieces, footage), footage, Sampling(temperature=0, most_tokens=told.most_tokens))


def _over_all(quest: Quest, rolled: Rolled, example: Example, clips: Clips) -> Quest:
    """A look at everything; as far as a look may have frames, they are as dense as those that the policy asked for."""
    fps = rolled.looks[0].fps if rolled.looks else clips.coarse_fps
    return replace(quest, forced=Look(Window(0, example.video.duration_cs), fps))


def spans_of(corpora: Sequence[Corpus]) -> NDArray[np.int64]:
    """Every window that is right for a sample, in centiseconds."""
    found: list[tuple[int, int]] = []
    for corpus in corpora:
        for packed in corpus.videos():
            for sample in packed.samples:
                target = target_of(sample)
                windows = (target.window,) if target else sample.windows
                found += [(window.start_cs, window.end_cs) for window in windows]
    return np.array(found, np.int64).reshape(-1, 2)


def _opened(place: str) -> Corpus:
    corpus = Corpus(place)
    if not len(corpus):
        raise InputError("this corpus is empty", where=place, mend="select with a lower threshold, and pack again")
    return corpus


def _leave(found: Evaluation) -> None:
    with disk_errors(found.folder):
        make_folder(found.folder)
        with writing(found.folder / ROWS) as file:
            file.write("".join(json.dumps(asdict(row), ensure_ascii=False) + "\n" for row in found.rows).encode())
        write_json(found.folder / METRICS, found.told())


def _keep(found: Evaluation, settings: EvaluationSettings, corpora: Sequence[Corpus]) -> None:
    """The rows as rows of a lake: what they are about stands there, too."""
    named = Path(settings.checkpoint)
    student = StudentConfig(checkpoint=str(named)).id() if named.is_dir() else digest("student", settings.checkpoint)
    told = {
        "student": show("student", student), "selections": [corpus.manifest.selection for corpus in corpora],
        "most_samples": settings.most_samples, "weights": settings.weights, "roll": settings.roll.semantic(),
    }  # fmt: skip
    rows = [_evaluated(row, student, found.checkpoint) for row in found.rows]
    command = f"dmforge evaluate: {found.checkpoint}"
    keep_evaluation(Workspace(Path(settings.workspace)), command, digest("evaluation", told), told, rows)


def _evaluated(row: Row, student: Id, checkpoint: str) -> Evaluated:
    return Evaluated(
        read(row.video)[1], read(row.sample)[1], read(row.task)[1], student, checkpoint, row.ending,
        _look([row.window_cs] if row.window_cs else [], row.fps), _look(row.target_cs, row.target_fps),
        row.iou, row.density_error, row.answer, row.answer_score, row.uniform_frames, row.visual_tokens,
    )  # fmt: skip


def _look(windows: Sequence[tuple[int, int]], fps: str | None) -> Look | None:
    density = read_density(fps) if fps else None
    return Look(Window(*windows[0]), density) if windows and density else None
