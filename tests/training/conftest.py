"""A packed corpus of worlds, made once by the whole chain: real renditions, whose every frame bears a timecode."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from dmforge import cli
from dmforge.curation.shards.corpus import Corpus
from dmforge.generators.student.tiny import make_tiny


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The shards of a `cot` selection."""
    result = CliRunner().invoke(
        cli.app, ["demo", "--size", "chain", "--out", str(tmp_path_factory.mktemp("demo") / "out"), "--videos", "6", "--json"]
    )
    assert result.exit_code == 0, result.output
    return Path(json.loads(result.stdout)["corpora"]["cot"]["path"])


@pytest.fixture(scope="session")
def random_checkpoint(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A student that has never learnt anything."""
    packed = Corpus(str(corpus))
    texts = [
        piece.text for example in packed.read(range(len(packed))) for piece in example.sample.transcript.pieces if piece.text
    ]
    folder = tmp_path_factory.mktemp("random") / "checkpoint-0"
    make_tiny("speck", texts).save(folder)
    return folder


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
