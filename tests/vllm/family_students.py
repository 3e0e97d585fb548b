"""Students of other families that have learnt the form of a trajectory."""

from __future__ import annotations

from pathlib import Path

from dmforge.curation.shards.corpus import Corpus
from dmforge.trainers.sft import train
from dmforge.trainers.training_settings import read_sft
from tests.student.small_families import small
from tests.training.conftest import write_settings


def imitating_of(family: str, corpus: Path, folder: Path) -> Path:
    """The checkpoint of a small student of a family, after some updates on a corpus."""
    pieces = [piece for example in Corpus(str(corpus)).read(range(24)) for piece in example.sample.transcript.pieces]
    small(family, [piece.text for piece in pieces if piece.text]).save(folder / "base")
    settings = write_settings(
        folder / "sft.toml", corpus, "sft", model_from_config="", model_checkpoint=f'"{folder / "base"}"',
        training_steps="40", training_learning_rate="1e-2", saving_save_every="40",
    )  # fmt: skip
    return train(read_sft(settings)).checkpoint
