"""verifiers rolls our example out: an agent calls `crop_video`, and is sent frames of the file as images with their stamps."""

from __future__ import annotations

import json
import os
import subprocess
from base64 import b64decode
from fractions import Fraction
from pathlib import Path

from dmforge.curation.video.frame_preview import look_shot
from dmforge.curation.video.jpeg import to_jpeg
from dmforge.schemas.looks import Look, Window
from tests.support.barcodes import CASES, write

ROOT = Path(__file__).parents[2]
CASE = next(case for case in CASES if case.name == "a very long GOP")


def test_an_agent_of_verifiers_looks_and_is_rewarded(tmp_path: Path) -> None:
    video, python = write(CASE, tmp_path), Path(os.environ["DMFORGE_VERIFIERS"]).absolute()
    paths = [str(ROOT), str(ROOT / "examples"), os.environ.get("PYTHONPATH", "")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))}
    environment["PATH"] = f"{python.parent}{os.pathsep}{environment['PATH']}"  # uv, which verifiers starts agents with
    script = ROOT / "tests" / "trainers" / "lane" / "verifiers_rollout.py"
    done = subprocess.run([python, script, video], capture_output=True, text=True, env=environment, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout.splitlines()[-1])
    assert told["rewards"] == [1.0]
    (reply,) = (message["content"] for message in told["last"]["messages"] if message["role"] == "tool")
    shown = look_shot(video, "pyav", Look(Window(300, 550), Fraction(2)))
    jpegs = [b64decode(part["image_url"]["url"].partition(",")[2]) for part in reply if part["type"] == "image_url"]
    assert jpegs == to_jpeg(shown.frames)
    assert [part["text"] for part in reply if part["type"] == "text"] == [
        f"<{float(time_s):.1f} seconds>" for time_s in shown.times_s
    ]
