"""The rows of a lake with nothing of ours: the parts that commits name, read by Arrow."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq


def rows(workspace: Path, table: str, stage: str | None = None) -> list[dict[str, Any]]:
    """Every committed row of a table, or those that one stage made."""
    commits = [json.loads(path.read_bytes()) for path in sorted((workspace / "lake/commits").glob("*/*.json"))]
    gone = {name for commit in commits for name in commit["supersedes"]}
    found: list[dict[str, Any]] = []
    for commit in commits:
        if commit["id"] not in gone and stage in (None, commit["stage"]):
            for part in commit["parts"]:
                if part["table"] == table:
                    found += pq.read_table(workspace / "lake" / table / part["name"]).to_pylist()
    return found


def digest_of(folder: Path) -> str:
    """Names and bytes of all that lies in a folder."""
    whole = hashlib.sha256()
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        whole.update(f"{path.relative_to(folder)} {hashlib.sha256(path.read_bytes()).hexdigest()}\n".encode())
    return whole.hexdigest()
