"""A packed corpus of tasks, and a student that has learnt the form of a trajectory: it looks somewhere, and says something."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from dmforge.curation.shards.corpus import Corpus
from dmforge.generators.student.tiny import make_tiny
from dmforge.schemas.dialects.dialect_name import DialectName
from dmforge.schemas.dialects.translation import say_in
from dmforge.trainers.batches import logits_of, pack, summed_loss
from dmforge.trainers.dataloading import TrainingCollator
from tests.support import flicker
from tests.support.made_once import made_once

STEPS = 60
"""Training steps: enough to learn the form, in a few seconds."""


@pytest.fixture(scope="session")
def practice(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Tasks with exact targets."""
    return made_once(tmp_path_factory, "practice", lambda folder: flicker.rl(folder / "rl", 8, 1)) / "rl"


@pytest.fixture(scope="session")
def trajectories(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Trajectories of a teacher that errs."""
    return made_once(tmp_path_factory, "taught", lambda folder: flicker.cot(folder / "cot", 24, 2, flicker.BIASED)) / "cot"


@pytest.fixture(scope="session")
def checkpoint(trajectories: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = made_once(tmp_path_factory, "student", lambda folder: imitating(trajectories, folder / "checkpoint-0"))
    return folder / "checkpoint-0"


def imitating(trajectories: Path, folder: Path, dialect: DialectName = "span", samples: int = 24) -> Path:
    """A student that writes well-formed trajectories about as often as not."""
    corpus = Corpus(str(trajectories))
    examples = corpus.read(range(samples))
    transcripts = [say_in(dialect, example.sample.transcript, "") for example in examples]
    texts = [piece.text for transcript in transcripts for piece in transcript.pieces if piece.text]
    student = make_tiny("speck", texts, dialect=dialect)
    lay_out = TrainingCollator(student.layout, corpus.clips, "packed", 1 << 20, dialect).lay_out
    batch = pack([lay_out(example) for example in examples])
    optimizer = torch.optim.AdamW(student.model.parameters(), lr=5e-3)
    for _ in range(STEPS):
        optimizer.zero_grad()
        (summed_loss(logits_of(student.model, batch), batch) / batch.items).backward()
        torch.nn.utils.clip_grad_norm_(student.model.parameters(), 1.0)
        optimizer.step()
    student.save(folder)
    return folder


@pytest.fixture
def settings(practice: Path, checkpoint: Path, tmp_path: Path) -> Path:
    return write_settings(tmp_path / "rl.toml", practice, checkpoint)


def write_settings(path: Path, practice: Path, checkpoint: Path, out: str = "out", **changes: str) -> Path:
    """The file of a small training, some keys of which are changed: `rollout_group="4"`."""
    values = {
        "model_checkpoint": f'"{checkpoint}"',
        "data_corpora": f'[{{ place = "{practice}" }}]',
        "data_prompts": "4",
        "data_workers": "0",
        "data_verify": "false",
        "rollout_group": "4",
        "rollout_temperature": "1.0",
        "rollout_max_tokens": "40",
        "training_steps": "4",
        "training_learning_rate": "1e-3",
        "saving_save_every": "2",
        "saving_log_every": "1",
        "saving_device": '"cpu"',
        **changes,
    }
    lines = [f'out = "{out}"']
    for table in ("model", "data", "rollout", "engine", "rewards", "training", "saving"):
        table_values = {key.removeprefix(f"{table}_"): value for key, value in values.items() if key.startswith(f"{table}_")}
        lines += [f"[{table}]", *(f"{key} = {value}" for key, value in table_values.items() if value)] if table_values else []
    path.write_text("\n".join(lines))
    return path
