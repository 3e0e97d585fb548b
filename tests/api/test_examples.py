"""Notebooks and scripts under examples/ run as they are; what a notebook shows in the repository are pictures and tables."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

import dmforge as dm

pytestmark = pytest.mark.slow

EXAMPLES = Path(__file__).parents[2] / "examples"
NOTEBOOKS = sorted(EXAMPLES.glob("*.ipynb"))


def outputs(notebook: Any) -> str:
    """Everything that the cells of a notebook show."""
    return "".join(str(output) for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs)


def test_there_are_examples() -> None:
    assert len(NOTEBOOKS) == 2
    assert len(list(EXAMPLES.glob("*.py"))) == 7  # those that look are run by `make test-vllm` and `make test-trainers`


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs_and_shows_what_it_shows_in_the_repository(
    path: Path, place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored = nbformat.read(path, 4)
    monkeypatch.setenv("WORKSPACE", str(place / "ws"))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(sys.path))
    notebook = nbformat.read(shutil.copy(path, tmp_path), 4)
    NotebookClient(notebook, timeout=280, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}).execute()
    for shown in (stored, notebook):
        assert "data:image/webp;base64," in outputs(shown)
        assert "<table>" in outputs(shown)


def script(name: str, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, EXAMPLES / name, *arguments], capture_output=True, text=True)


def test_a_pilot_says_what_the_rest_would_cost(place: Path) -> None:
    done = script("pilot.py", place / "ws", "--videos", "2")
    assert done.returncode == 0, done.stderr
    assert "spent so far: $0.01" in done.stdout


def test_a_corpus_is_held_against_what_was_agreed_on(place: Path, tmp_path: Path) -> None:
    corpus = Path(dm.Workspace(place / "ws").corpora()["cot"].place)
    done = script("check_corpus.py", corpus)
    assert (done.returncode, "in order" in done.stdout) == (0, True), done.stdout + done.stderr
    done = script("check_corpus.py", corpus, "--min-samples", "1000")
    assert (done.returncode, "wanted 1000" in done.stdout) == (1, True)
    damaged = shutil.copytree(corpus, tmp_path / "damaged")
    shard = next(damaged.glob("*.tar"))
    shard.write_bytes(shard.read_bytes()[:-1] + b"x")
    done = script("check_corpus.py", damaged)
    assert (done.returncode, "damaged" in done.stdout) == (1, True)


def test_a_loader_of_ones_own_reads_every_sample(place: Path) -> None:
    corpus = dm.Workspace(place / "ws").corpora()["cot"]
    done = script("own_loader.py", corpus.place, "--max-tokens", "100000", "--workers", "1")
    assert done.returncode == 0, done.stderr
    counted = [int(line.split()[2]) for line in done.stdout.splitlines()]
    assert sum(counted) >= len(corpus)
