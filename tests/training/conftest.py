"""A packed corpus of worlds, made once by the whole chain: real renditions, whose every frame bears a timecode."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from dmforge import cli
from dmforge.curation.shards.corpus import Corpus
from dmforge.generators.student.tiny import make_tiny
from tests.support.made_once import made_once


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The shards of a `cot` selection."""

    def make(folder: Path) -> None:
        words = ["demo", "--size", "chain", "--out", str(folder / "out"), "--videos", "6", "--json"]
        result = CliRunner().invoke(cli.app, words)
        assert result.exit_code == 0, result.output
        (folder / "cot").symlink_to(json.loads(result.stdout)["corpora"]["cot"]["path"])

    return (made_once(tmp_path_factory, "training", make) / "cot").resolve()


@pytest.fixture(scope="session")
def random_checkpoint(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A student that has never learnt anything."""

    def make(folder: Path) -> None:
        examples = Corpus(str(corpus))
        pieces = [piece for example in examples.read(range(len(examples))) for piece in example.sample.transcript.pieces]
        make_tiny("speck", [piece.text for piece in pieces if piece.text]).save(folder / "checkpoint-0")

    return made_once(tmp_path_factory, "random", make) / "checkpoint-0"


@pytest.fixture
def settings(corpus: Path, tmp_path: Path) -> Path:
    """A small training from scratch."""
    path = tmp_path / "sft.toml"
    write_settings(path, corpus)
    return path


def write_settings(path: Path, corpus: Path, out: str = "out", **changes: str) -> Path:
    """The file of a small training, some keys of which are changed: `data_max_tokens="100"`."""
    values = {
        "model_from_config": '"speck"',
        "data_corpora": f'[{{ place = "{corpus}" }}]',
        "data_max_tokens": "2000",
        "training_steps": "6",
        "training_learning_rate": "1e-3",
        "saving_save_every": "3",
        "saving_log_every": "1",
        "saving_device": '"cpu"',
        **changes,
    }
    lines = [f'out = "{out}"']
    for table in ("model", "data", "training", "saving"):
        lines.append(f"[{table}]")
        lines += [
            f"{key.removeprefix(table + '_')} = {value}" for key, value in values.items() if key.startswith(table) and value
        ]
    path.write_text("\n".join(lines))
    return path
