"""Environments of foreign programs, each made once: what they need and nothing of ours."""

from __future__ import annotations

import subprocess
import sys
import venv
from collections.abc import Sequence
from pathlib import Path

PEERS = (
    "av==18.1.0",
    "datasets==5.2.0",
    "datatrove[io]==0.10.1",
    "openai==3.51.0",
    "pillow==13.0.0",
    "regex==2026.11.15",
    "webdataset==1.0.2",
)
"""`regex` is imported by every filter of datatrove, and stands in none of its lists."""


def python_with(packages: Sequence[str], folder: Path) -> Path:
    """The interpreter of an environment that has these packages."""
    place, stamp = folder / "venv", folder / "venv" / "pinned.txt"
    pinned = "\n".join(packages)
    if not stamp.exists() or stamp.read_text() != pinned:
        venv.create(place, clear=True, with_pip=True)
        pip = [str(place / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        if subprocess.run([*pip, *packages]).returncode:
            sys.exit(f"{packages[0]} and others can't be installed: is PyPI within reach?")
        stamp.write_text(pinned)
    return place / "bin" / "python"
