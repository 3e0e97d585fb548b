"""Does README.md do what it says? From an empty clone, its commands in order: a corpus, a trained student, a report.

`make walk` clones what is committed, so what only lies in a working folder can't help. Nothing is left out and nothing changed
but the ports, where others are taken.
"""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

from dmforge.commands.pack_corpus import corpora as corpora_of
from dmforge.curation.workspace_folder import WorkspaceFolder
from tests.support.tables import show

ROOT = Path(__file__).parents[1]
BLOCK = re.compile(r"^```sh\n(.*?)^```", re.DOTALL | re.MULTILINE)
STOPS = "set -euo pipefail\n"
"""A command that fails ends the walk."""


def chapters(page: Path) -> dict[str, str]:
    """What is to be typed under each heading."""
    parts = re.split(r"^## (.*)\n", page.read_text("utf-8"), flags=re.MULTILINE)
    return {title: "".join(BLOCK.findall(text)) for title, text in zip(parts[1::2], parts[2::2], strict=True)}


def with_free_ports(lines: str) -> str:
    """The same on ports that nobody has."""
    for port in set(re.findall(r"--port (\d+)", lines)):
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            lines = lines.replace(port, str(listener.getsockname()[1]))
    return lines


def follow(lines: str, folder: Path, env: Mapping[str, str] = os.environ) -> float:
    """Type them into a shell in a folder; seconds. What was started in the background ends with it."""
    began_s = time.monotonic()
    with subprocess.Popen(["bash", "-c", STOPS + lines], cwd=folder, env=env, start_new_session=True) as shell:
        try:
            failed = shell.wait()
        finally:
            os.killpg(shell.pid, signal.SIGKILL) if _lives(shell.pid) else None
    if failed:
        raise subprocess.CalledProcessError(failed, lines)
    return time.monotonic() - began_s


def _lives(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


def results(folder: Path, corpora: Mapping[str, str]) -> list[list[object]]:
    """What lies there at the end: corpora by their workspace, checkpoints, evaluations, the report."""
    rows: list[list[object]] = []
    for workspace, corpus in corpora.items():
        packed = {manifest.corpus: manifest.samples for manifest in corpora_of(WorkspaceFolder(folder / workspace)).values()}
        rows.append([f"{workspace}: {corpus}", f"{packed[corpus]} samples"])
    (weights,) = folder.glob("sft/checkpoint-*/model.safetensors")
    rows.append(["student", f"{weights.parent.name}, {weights.stat().st_size} bytes"])
    (measured,) = folder.glob("sft/*.evaluation/metrics.json")
    figures = json.loads(measured.read_bytes())
    rows.append(["evaluation", ", ".join(f"{name} {figures[name]:.3f}" for name in ("format", "miou", "accuracy"))])
    report = folder / "report.html"
    rows.append(["report", f"{report.stat().st_size} bytes"])
    return rows


def main() -> None:
    with tempfile.TemporaryDirectory() as place:
        clone = Path(place) / "dmforge"
        subprocess.run(["git", "clone", "--quiet", str(ROOT), str(clone)], check=True)
        typed = chapters(clone / "README.md")
        rows: list[list[object]] = []
        for title in ("First steps", "Videos of your own"):
            lines = with_free_ports(typed[title])
            before = "" if title == "First steps" else ". .venv/bin/activate\n"
            seconds = follow(before + lines, clone)
            rows.append([f"{title}: {len(lines.splitlines())} lines", f"{seconds:.0f} s"])
        rows += results(clone, {"ws": "cot", "exam": "exam", "raw": "cot"})
    show("README.md, word for word", "make walk", ["", ""], rows)


if __name__ == "__main__":
    sys.exit(main())
