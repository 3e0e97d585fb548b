"""Probes foreign files for the command line, each in a process of its own, which is killed when it hangs."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from dmforge.curation.io.command_result import Block, CommandResult
from dmforge.curation.video.probe import probe
from dmforge.curation.video.timeline import read_timeline
from dmforge.schemas.errors import DmforgeError

DEADLINE_S = 120
MEMORY_BYTES = 4 << 30


@dataclass(frozen=True, slots=True)
class FileReport(CommandResult):
    """What a video file is, or why it can't be used; then all but its path and the reason are None."""

    path: str
    ok: bool
    reason: str
    duration: float | None
    """Seconds from the first displayed frame to the end of the last."""
    fps: float | None
    width: int | None
    height: int | None
    codec: str | None
    rotation: int | None
    """Degrees that the picture is turned by when it is shown."""

    def as_json(self) -> dict[str, Any]:
        return asdict(self)

    def blocks(self) -> Iterator[Block]:
        line_template = "{path}: {codec}, {width}x{height}, {duration:.2f} s, {fps:.2f} fps, turned by {rotation}"
        yield line_template.format(**asdict(self)) if self.ok else f"{self.path}: {self.reason}"


def inspect_file(path: Path) -> FileReport:
    """The properties of a file, or why it can't be used."""
    # -P: nothing in the folder where one happens to stand is imported
    probe_command = [sys.executable, "-P", "-m", "dmforge.curation.video.isolated_probe", str(path)]
    try:
        completed_process = subprocess.run(probe_command, capture_output=True, timeout=DEADLINE_S, check=True)
        report_values: dict[str, Any] = json.loads(completed_process.stdout)
    except subprocess.TimeoutExpired:
        report_values = _unusable(f"it is not read within {DEADLINE_S} s")
    except (subprocess.CalledProcessError, ValueError):
        report_values = _unusable("it crashes the process that reads it")
    return FileReport(str(path), **report_values)


def _unusable(reason: str) -> dict[str, Any]:
    empty_properties = dict.fromkeys(("duration", "fps", "width", "height", "codec", "rotation"))
    return {"ok": False, "reason": reason, **empty_properties}


def main() -> None:
    video_path = Path(sys.argv[1])
    resource.setrlimit(resource.RLIMIT_DATA, (MEMORY_BYTES, MEMORY_BYTES))
    try:
        probed = probe(read_timeline(video_path))
        report_values = {
            "ok": True, "reason": "", "duration": float(probed.duration_s), "fps": float(probed.rate_fps),
            "width": probed.width, "height": probed.height, "codec": probed.codec, "rotation": probed.rotation,
        }  # fmt: skip
    except DmforgeError as error:
        report_values = _unusable(error.message)
    except MemoryError:
        report_values = _unusable("its pictures are too large for the memory that probing may use")
    sys.stdout.write(json.dumps(report_values))


if __name__ == "__main__":
    main()
