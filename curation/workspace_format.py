"""`format.json` at the root of a workspace: its format numbers, so that older versions of dmforge refuse it.

A workspace without the file was made before formats had numbers: it is of format 1."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dmforge import __version__
from dmforge.curation.io.atomic import disk_errors, write_json
from dmforge.schemas import formats
from dmforge.schemas.errors import InputError
from dmforge.schemas.records import table_formats

FILE = "format.json"
MAX_BYTES = 1 << 16


@dataclass(frozen=True, slots=True)
class WorkspaceFormat:
    """The format numbers of a workspace, of its journal and of its tables."""

    format: int = 1
    journal: int = 1
    tables: Mapping[str, int] = field(default_factory=dict[str, int])
    written_by: str = ""
    """The version of dmforge that wrote a number last: it can read the workspace."""

    def merged(self, **changes: Any) -> dict[str, Any]:
        """The content of format.json after this version has written to the workspace."""
        current = table_formats()
        tables = {name: max(self.tables.get(name, 1), current.get(name, 1)) for name in sorted({*self.tables, *current})}
        return {"format": self.format, "journal": formats.JOURNAL, "tables": tables, "written_by": __version__, **changes}


def read_format(root: Path) -> WorkspaceFormat:
    """The format numbers of a workspace; an error where they are newer than this version."""
    path = root / FILE
    if not path.exists():
        return WorkspaceFormat()
    with disk_errors(path), path.open("rb") as file:
        data = file.read(MAX_BYTES + 1)
    try:
        if len(data) > MAX_BYTES:
            raise ValueError(f"more than {MAX_BYTES} bytes")
        content: dict[str, Any] = json.loads(data)
        # first of all: the other fields of a newer version may look otherwise
        written_by = str(content.get("written_by", ""))[:40]
        formats.refuse_newer("the workspace", content.get("format"), formats.WORKSPACE, str(path), written_by)
        tables = dict(content["tables"])
        workspace_format = WorkspaceFormat(content["format"], content["journal"], tables, written_by)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        hint = "restore it from a backup: it says which version can read the workspace"
        raise InputError(f"format.json can't be read: {error}", where=str(path), hint=hint) from None
    known_tables = table_formats()
    readable = [
        ("its journal", workspace_format.journal, formats.JOURNAL),
        *((f"its table {name}", number, known_tables[name]) for name, number in tables.items() if name in known_tables),
    ]
    for subject, number, highest in readable:
        formats.refuse_newer(subject, number, highest, str(path), written_by)
    return workspace_format


def stamp_format(root: Path, number: int | None = None) -> None:
    """Update format.json for what this version is about to write; `number` is the workspace's new format after an upgrade."""
    workspace_format = read_format(root)
    path, content = root / FILE, workspace_format.merged(format=workspace_format.format if number is None else number)
    if not path.exists() or json.loads(path.read_bytes()) | {"written_by": ""} != content | {"written_by": ""}:
        write_json(path, content)
