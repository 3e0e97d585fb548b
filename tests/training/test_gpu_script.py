"""The script for a GPU that is there for ten minutes: each row as soon as it is known, and nothing begun too late."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from tests.support.rank_processes import ROOT


def measured(*words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "benchmarks.gpu", "--shape", "tiny", "--times", "1", "--rows", "2", *words]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True)


@pytest.mark.slow
def test_it_says_what_a_student_costs_as_far_as_time_reaches() -> None:
    done = measured()
    assert done.returncode == 0, done.stderr[-2000:]
    rows = [json.loads(line) for line in done.stdout.splitlines() if line.startswith('{"measured"')]
    assert [row["measured"].split(",")[0] for row in rows] == [
        "A step of SFT", "An update of SD-GRPO", "A step of SFT", "Rollouts of 32 tokens",
    ]  # fmt: skip
    assert rows[1]["tokens"] < rows[1]["tokens apart"]  # a shared prompt is there once
    assert all(row["peak GB"] == "-" for row in rows)
    assert done.stdout.count("| rollouts |") == 2
    without_time = measured("--minutes", "0")
    assert without_time.returncode == 1
    assert "give it more --minutes" in without_time.stderr
