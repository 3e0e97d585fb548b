"""Probing foreign files from the command line: each in a process of its own, which may be killed when it hangs."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

from dmforge.curation.video.probe import probe
from dmforge.curation.video.timeline import read_timeline
from dmforge.schemas.errors import DmforgeError

DEADLINE_S = 120
MEMORY_BYTES = 4 << 30


def inspected(path: Path) -> dict[str, Any]:
    """What a file is, or why it can't be used."""
    # -P: nothing in the folder where one happens to stand is imported
    command = [sys.executable, "-P", "-m", "dmforge.curation.video.inspect", str(path)]
    try:
        done = subprocess.run(command, capture_output=True, timeout=DEADLINE_S, check=True)
        told: dict[str, Any] = json.loads(done.stdout)
    except subprocess.TimeoutExpired:
        told = _unusable(f"it is not read within {DEADLINE_S} s")
    except (subprocess.CalledProcessError, ValueError):
        told = _unusable("it crashes the process that reads it")
    return {"path": str(path), **told}


def _unusable(reason: str) -> dict[str, Any]:
    empty = dict.fromkeys(("duration", "fps", "width", "height", "codec", "rotation"))
    return {"ok": False, "reason": reason, **empty}


def main() -> None:
    path = Path(sys.argv[1])
    resource.setrlimit(resource.RLIMIT_DATA, (MEMORY_BYTES, MEMORY_BYTES))
    try:
        found = probe(read_timeline(path))
        told = {
            "ok": True, "reason": "", "duration": float(found.duration_s), "fps": float(found.rate_fps), "width": found.width,
            "height": found.height, "codec": found.codec, "rotation": found.rotation,
        }  # fmt: skip
    except DmforgeError as error:
        told = _unusable(error.message)
    except MemoryError:
        told = _unusable("its pictures are too large for the memory that probing may use")
    sys.stdout.write(json.dumps(told))


if __name__ == "__main__":
    main()
