"""README.md is followed as it stands there, in an empty folder: what it says one gets is there at the end.

Here with fewer worlds and steps, so that it takes half a minute; `make walk` changes nothing, and begins with a clone.
"""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

import pytest

from tools.walk import chapters, follow, results, with_free_ports

ROOT = Path(__file__).parents[2]
SMALLER = {
    "make setup && . .venv/bin/activate\n": "",
    "--videos 24 --study": "--videos 4 --study",
    "--videos 8 --study": "--videos 2 --study",
    "steps = 60": "steps = 3",
    "checkpoint-60": "checkpoint-3",
}
"""What is otherwise in the short form; each must stand in README.md."""


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_first_steps_end_with_a_corpus_a_student_and_a_report(tmp_path: Path) -> None:
    lines = chapters(ROOT / "README.md")["First steps"]
    for told, smaller in SMALLER.items():
        assert told in lines
        lines = lines.replace(told, smaller)
    env = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "OMP_NUM_THREADS": "1"}
    follow(with_free_ports(lines), tmp_path, env)
    rows = dict(results(tmp_path, {"ws": "cot", "exam": "exam"}))
    assert rows["ws: cot"] == "4 samples"
    assert rows["exam: exam"] == "2 samples"
    assert str(rows["student"]).startswith("checkpoint-3,")
    assert int(re.findall(r"\d+", str(rows["report"]))[0]) > 50_000


def test_readme_is_a_page() -> None:
    assert len((ROOT / "README.md").read_text("utf-8").splitlines()) <= 125
