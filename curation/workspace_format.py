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

    def merged(self) -> dict[str, Any]:
        """The content of format.json after this version has written to the workspace."""
        current_formats = table_formats()
        format_by_table = {
            table_name: max(self.tables.get(table_name, 1), current_formats.get(table_name, 1))
            for table_name in sorted({*self.tables, *current_formats})
        }
        return {
            "format": formats.WORKSPACE,
            "journal": formats.JOURNAL,
            "tables": format_by_table,
            "written_by": __version__,
        }


def read_format(root: Path) -> WorkspaceFormat:
    """The format numbers of a workspace; an error where they are newer than this version."""
    format_path = root / FILE
    if not format_path.exists():
        return WorkspaceFormat()
    with disk_errors(format_path), format_path.open("rb") as format_file:
        format_bytes = format_file.read(MAX_BYTES + 1)
    try:
        if len(format_bytes) > MAX_BYTES:
            raise ValueError(f"more than {MAX_BYTES} bytes")
        format_values: dict[str, Any] = json.loads(format_bytes)
        # first of all: the other fields of a newer version may look otherwise
        written_by = str(format_values.get("written_by", ""))[:40]
        formats.refuse_newer("the workspace", format_values.get("format"), formats.WORKSPACE, str(format_path), written_by)
        format_by_table = dict(format_values["tables"])
        workspace_format = WorkspaceFormat(format_values["format"], format_values["journal"], format_by_table, written_by)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        hint = "restore it from a backup: it says which version can read the workspace"
        raise InputError(f"format.json can't be read: {error}", where=str(format_path), hint=hint) from None
    known_formats = table_formats()
    formats_to_check = [
        ("its journal", workspace_format.journal, formats.JOURNAL),
        *(
            (f"its table {table_name}", format_number, known_formats[table_name])
            for table_name, format_number in format_by_table.items()
            if table_name in known_formats
        ),
    ]
    for format_subject, format_number, highest_known in formats_to_check:
        formats.refuse_newer(format_subject, format_number, highest_known, str(format_path), written_by)
    return workspace_format


def stamp_format(root: Path) -> None:
    """Update format.json for what this version is about to write: an older one would misread it."""
    format_path, format_values = root / FILE, read_format(root).merged()
    if not format_path.exists() or json.loads(format_path.read_bytes()) | {"written_by": ""} != format_values | {
        "written_by": ""
    }:
        write_json(format_path, format_values)
