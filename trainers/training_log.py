"""log.jsonl, the log of a training: a line for each entry, which says after which update it was made."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from dmforge.curation.io.atomic import disk_errors

LOG = "log.jsonl"


def append(out: Path, step: int, entry: Mapping[str, float | str]) -> None:
    """Append a line."""
    with disk_errors(out / LOG), (out / LOG).open("a", encoding="utf-8") as log_file:
        log_file.write(json.dumps({"step": step, **entry}) + "\n")


def truncate(out: Path, last_step: int) -> None:
    """Remove lines logged after the checkpoint: those steps are done and logged again."""
    if (out / LOG).exists():
        log_lines = (out / LOG).read_text("utf-8").splitlines(keepends=True)
        kept_lines = [log_line for log_line in log_lines if json.loads(log_line)["step"] <= last_step]
        (out / LOG).write_text("".join(kept_lines), "utf-8")


def logged_values(out: Path, name: str) -> dict[int, float]:
    """All values of one name, by step."""
    log_lines = (out / LOG).read_text("utf-8").splitlines() if (out / LOG).exists() else []
    return {entry["step"]: entry[name] for entry in map(json.loads, log_lines) if name in entry}
