"""Probing foreign files from the command line: each in a process of its own, which may be killed when it hangs."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from dmforge.curation.video.errors import Unusable
from dmforge.curation.video.probe import probe
from dmforge.curation.video.timeline import read_timeline

DEADLINE_S = 120


def inspected(path: Path) -> dict[str, Any]:
    """What a file is, or why it can't be used."""
    command = [sys.executable, "-m", "dmforge.curation.video.inspect", str(path)]
    try:
        done = subprocess.run(command, capture_output=True, timeout=DEADLINE_S, check=True)
        told: dict[str, Any] = json.loads(done.stdout)
    except subprocess.TimeoutExpired:
        told = _unusable("it hangs")
    except (subprocess.CalledProcessError, ValueError):
        told = _unusable("it crashes the process that reads it")
    return {"path": str(path), **told}


def _unusable(reason: str) -> dict[str, Any]:
    empty = dict.fromkeys(("duration", "fps", "width", "height", "codec", "rotation"))
    return {"ok": False, "reason": reason, **empty}


def main() -> None:
    path = Path(sys.argv[1])
    try:
        found = probe(read_timeline(path))
        told = {
            "ok": True, "reason": "", "duration": float(found.duration_s), "fps": float(found.rate_fps), "width": found.width,
            "height": found.height, "codec": found.codec, "rotation": found.rotation,
        }  # fmt: skip
    except Unusable as error:
        told = _unusable(error.what)
    sys.stdout.write(json.dumps(told))


if __name__ == "__main__":
    main()
