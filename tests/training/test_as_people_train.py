"""Trainings as people run them: told to stop by a scheduler, watched on a terminal and in a log file."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from transformers import TrainerCallback

from dmforge.commands.console import show_once
from dmforge.curation.io.command_result import CommandResult
from dmforge.curation.io.terminal import Terminal
from dmforge.trainers.sft import train
from dmforge.trainers.training_progress import TrainingProgress
from dmforge.trainers.training_settings import read_sft
from tests.support import flicker
from tests.support.rank_processes import ROOT
from tests.training.conftest import write_settings
from tests.training.test_sft import log_of


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return flicker.cot(tmp_path_factory.mktemp("small") / "cot", 8, 2, flicker.EXACT)


class Told(TrainerCallback):
    """A scheduler that sends a signal while an update is made."""

    def __init__(self, step: int, number: signal.Signals) -> None:
        self.step, self.number = step, number

    def on_step_begin(self, args: Any, state: Any, control: Any, **rest: Any) -> None:
        if state.global_step + 1 == self.step:
            os.kill(os.getpid(), self.number)


@pytest.mark.parametrize("number", [signal.SIGUSR1, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)])
def test_a_training_that_is_told_to_stop_ends_with_a_checkpoint_and_goes_on_to_the_same_bits(
    small: Path, tmp_path: Path, number: signal.Signals
) -> None:
    before = signal.getsignal(number)
    whole = train(read_sft(write_settings(tmp_path / "whole.toml", small, "whole", saving_save_every="100")))
    path = write_settings(tmp_path / "told.toml", small, "told", saving_save_every="100")
    stopped = train(read_sft(path), [Told(2, number)])
    assert (stopped.steps, stopped.stopped_by) == (2, number.name)
    assert stopped.checkpoint.name == "checkpoint-2"
    assert stopped.as_json()["stopped_by"] == number.name
    assert signal.getsignal(number) == before
    ended = train(read_sft(path))
    assert ended.stopped_by == ""
    first, second = (load_file(result.checkpoint / "model.safetensors") for result in (whole, ended))
    assert all(torch.equal(weights, second[name]) for name, weights in first.items())


def test_told_to_stop_in_its_last_update_it_is_done(small: Path, tmp_path: Path) -> None:
    path = write_settings(tmp_path / "sft.toml", small, training_steps="2")
    assert train(read_sft(path), [Told(2, signal.SIGUSR1)]).stopped_by == ""


@pytest.mark.slow
def test_the_command_says_that_it_is_unfinished_and_its_log_is_read_by_people(small: Path, tmp_path: Path) -> None:
    path = write_settings(tmp_path / "sft.toml", small, training_steps="400")
    command = [sys.executable, "-m", "dmforge.cli", "train", "sft", str(path)]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    deadline_s = time.monotonic() + 100
    while not (tmp_path / "out/log.jsonl").exists() or len(log_of(tmp_path / "out")) < 3:
        assert time.monotonic() < deadline_s
        time.sleep(0.1)
    process.send_signal(signal.SIGTERM)
    stdout, stderr = process.communicate(timeout=60)
    assert process.returncode == 1, stderr
    assert "stopped by SIGTERM" in stdout
    assert "run the same command again" in stderr
    last_step = log_of(tmp_path / "out")[-1]["step"]
    assert (tmp_path / f"out/checkpoint-{last_step}/model.safetensors").exists()
    lines = [line for line in stderr.splitlines() if line.startswith("SFT: ")]
    assert len(lines) >= 3
    assert all(" of 400: loss " in line and "tokens/s, waiting" in line and line.endswith(" left") for line in lines)
    assert "{" not in stdout + stderr
    assert "it/s" not in stderr


def shown(*, terminal: bool) -> str:
    """What is shown of a training of 10 updates, logged at the 4th and measured at the 5th."""
    stream = io.StringIO()
    progress = TrainingProgress("SFT", Terminal(file=stream, force_terminal=terminal, width=200, color_system=None))
    state: Any = SimpleNamespace(global_step=0, max_steps=10, is_world_process_zero=True)
    progress.on_train_begin(None, state, None)
    for step in range(1, 11):
        state.global_step = step
        progress.on_step_end(None, state, None)
        if step == 4:
            progress.on_log(None, state, None, {"loss": 1.25, "tokens_per_s": 12_345.0, "waiting": 0.031, "grad_norm": 2.0})
        if step == 5:
            progress.on_log(None, state, None, {"evaluation/miou": 0.5, "evaluation/accuracy": 0.75})
    progress.on_train_end(None, state, None)
    return stream.getvalue()


def test_on_a_terminal_there_is_a_bar_and_elsewhere_a_line_for_each_entry_of_the_log() -> None:
    lines = shown(terminal=False).splitlines()
    assert len(lines) == 2
    assert lines[0].startswith("SFT: 4 of 10: loss 1.2500, 12,345 tokens/s, waiting 3%, ")
    assert lines[1].startswith("SFT: 5 of 10: held out: mIoU 0.500, accuracy 0.750, ")
    on_terminal = shown(terminal=True)
    assert "10/10" in on_terminal
    assert "12,345 tokens/s" in on_terminal
    assert "held out: mIoU 0.500" in on_terminal


def test_other_ranks_show_nothing() -> None:
    stream = io.StringIO()
    progress = TrainingProgress("SFT", Terminal(file=stream))
    state: Any = SimpleNamespace(global_step=1, max_steps=10, is_world_process_zero=False)
    progress.on_log(None, state, None, {"loss": 1.0})
    assert not stream.getvalue()


class Said(CommandResult):
    """A result that is one line."""

    def as_json(self) -> str:
        return "done"

    def blocks(self) -> list[str]:
        return ["done"]


def tracked() -> Said:
    """What a training gives back beside which a tracker prints."""
    sys.stdout.write("* Run finished\n")
    return Said()


def test_what_trackers_print_is_no_part_of_the_result(capsys: pytest.CaptureFixture[str]) -> None:
    show_once(tracked, as_json=True)
    captured = capsys.readouterr()
    assert captured.out == '"done"\n'
    assert captured.err == "* Run finished\n"
