"""Why verl rolls out with a loop of ours: handed one placeholder for each clip, vLLM shows the tokens that are trained on."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from dmforge.generators.student.tiny import make_tiny

SCRIPT = Path(__file__).parent / "lane" / "written_out.py"


def test_vllm_shows_what_is_trained_on_and_behind_verls_way_something_else(tmp_path: Path) -> None:
    make_tiny("speck", ["What? A", "<0.1 seconds>"]).save(tmp_path / "student")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    done = subprocess.run([sys.executable, SCRIPT, tmp_path / "student"], capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr[-3000:]
    ids = json.loads(done.stdout.splitlines()[-1])
    assert ids["ours"] == ids["trained"]
    assert ids["verls"] != ids["trained"]  # once it is equal, verl's own loop would do for the overview
