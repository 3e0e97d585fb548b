"""Views that people gave a name: addresses in one small file of the workspace."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, cast

from dmforge.curation.browse.row_query import RowQuery
from dmforge.curation.io.atomic import disk_errors, write_bytes
from dmforge.curation.workspace_folder import WorkspaceFolder
from dmforge.schemas.errors import InputError

FILE = "saved_views.json"
MAX_VIEWS, MAX_NAME_CHARS = 200, 60


def saved_views(workspace: WorkspaceFolder) -> dict[str, str]:
    """The address of each view by its name, in the order in which they were saved."""
    path = workspace.root / FILE
    if not path.exists():
        return {}
    try:
        with disk_errors(path):
            views: Any = json.loads(path.read_bytes())
        if not isinstance(views, dict):
            raise TypeError("names with addresses are wanted")
        address_by_name = cast("dict[str, object]", views)
        for address in address_by_name.values():
            if not isinstance(address, str):
                raise TypeError("an address is a text")
        return cast("dict[str, str]", address_by_name)
    except (ValueError, TypeError, RecursionError) as error:
        raise InputError(f"no saved views: {error}", where=str(path), hint="correct the file, or delete it") from None


def save_view(workspace: WorkspaceFolder, name: str, address: str) -> dict[str, str]:
    """Save a view; one of the same name is replaced. All that there are then."""
    name = name.strip()
    if not name or len(name) > MAX_NAME_CHARS:
        raise InputError(f"a view's name has 1 to {MAX_NAME_CHARS} letters", where="name", hint="give it a short name")
    RowQuery.read(address)
    views = {**saved_views(workspace), name: address}
    if len(views) > MAX_VIEWS:
        raise InputError(f"there are {MAX_VIEWS} saved views", where=FILE, hint="delete some")
    return _write(workspace, views)


def delete_view(workspace: WorkspaceFolder, name: str) -> dict[str, str]:
    """Delete a view, if there is one of that name. All that are left."""
    views = saved_views(workspace)
    views.pop(name, None)
    return _write(workspace, views)


def _write(workspace: WorkspaceFolder, views: Mapping[str, str]) -> dict[str, str]:
    write_bytes(workspace.root / FILE, (json.dumps(views, indent=1) + "\n").encode("ascii"))
    return dict(views)
