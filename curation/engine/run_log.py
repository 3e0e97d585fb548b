"""The record of a run: who ran what, when, with which resolved recipe and versions. Times and hosts are stored here only."""

from __future__ import annotations

import json
import os
import platform
import secrets
import socket
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa

from dmforge.curation.contract.budget import Budget
from dmforge.curation.io.atomic import write_json
from dmforge.curation.io.plugins import loaded_plugins
from dmforge.curation.workspace_folder import WorkspaceFolder, user_name
from dmforge.schemas.errors import DmforgeError, LakeError

Ending = Literal["done", "unfinished", "failed", "interrupted"]
PACKAGES = ("dmforge", "duckdb", "pyarrow", "av", "pydantic")


class Run:
    """The record of a current run. Its file says `running` until it ends; that of a killed run stays so, and harms nothing."""

    def __init__(self, workspace: WorkspaceFolder, command: str, recipe: Mapping[str, Any]) -> None:
        started_at = datetime.now(UTC)
        # the random part keeps names apart when a clock was set back
        self.path: Path = workspace.runs / f"{started_at:%Y%m%dT%H%M%S}-{secrets.token_hex(4)}.json"
        self.ending: Ending | None = None
        self._account = Budget()
        self._content: dict[str, Any] = {
            "command": command, "state": "running", "started": started_at.isoformat(), "ended": None,
            "user": user_name(), "host": socket.gethostname(), "pid": os.getpid(), "python": platform.python_version(),
            "packages": versions(), "plugins": loaded_plugins(), "cost_usd": 0.0, "spent": [], "stages": [],
            "recipe": recipe,
        }  # fmt: skip
        write_json(self.path, self._content)

    def stage(self, name: str, counts: Mapping[str, Any]) -> None:
        """Note how a stage ended."""
        self._content["stages"].append({"name": name, **counts})

    def spent(self, account: Budget) -> None:
        """Note what was spent, stage by stage and model by model."""
        self._account = account

    def close(self, ending: Ending) -> None:
        spent_rows = [
            {"stage": stage, "model": model, **asdict(spent_entry.usage), "usd": spent_entry.usd}
            for (stage, model), spent_entry in sorted(self._account.spent.items())
        ]
        ending_fields = {"state": self.ending or ending, "ended": datetime.now(UTC).isoformat()}
        self._content |= {**ending_fields, "cost_usd": self._account.usd, "spent": spent_rows}
        write_json(self.path, self._content)


@contextmanager
def recorded(workspace: WorkspaceFolder, command: str, recipe: Mapping[str, Any]) -> Generator[Run]:
    """Record a run, however it ends, except by a kill."""
    run = Run(workspace, command, recipe)
    try:
        yield run
    except KeyboardInterrupt:
        run.close("interrupted")
        raise
    except BaseException as error:
        try:
            run.close("failed")
        except DmforgeError:
            # a full disk fails the record too: the first error is the one to show
            raise error from None
        raise
    run.close("done")


def spent_usd(workspace: WorkspaceFolder) -> float:
    """The total cost of a workspace's runs."""
    return sum(_cost_usd(path) for path in sorted(workspace.runs.glob("*.json")))


def stages_of_runs(workspace: WorkspaceFolder) -> pa.Table:
    """The seconds of each stage in each run, as far as they were recorded: a table for audits."""
    rows = [
        {"run": record_path.stem, "stage": stage_entry["name"], "seconds": float(stage_entry.get("seconds", 0.0))}
        for record_path, run_record in _records(workspace)
        for stage_entry in run_record["stages"]
    ]
    return pa.Table.from_pylist(rows, pa.schema([("run", pa.string()), ("stage", pa.string()), ("seconds", pa.float64())]))


def plugins_of_runs(workspace: WorkspaceFolder) -> dict[str, str]:
    """The plug-ins that runs had, as `dmforge.stages:length`, with the package and version that each last came from."""
    return {
        plugin_name: package_version
        for _, run_record in _records(workspace)
        for plugin_name, package_version in run_record.get("plugins", {}).items()
    }


def _records(workspace: WorkspaceFolder) -> Iterator[tuple[Path, dict[str, Any]]]:
    for record_path in sorted(workspace.runs.glob("*.json")):
        try:
            yield record_path, json.loads(record_path.read_bytes())
        except (ValueError, RecursionError) as error:
            raise _unreadable_record(record_path, error) from None


def _cost_usd(record_path: Path) -> float:
    try:
        return float(json.loads(record_path.read_bytes())["cost_usd"])
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise _unreadable_record(record_path, error) from None


def _unreadable_record(path: Path, error: Exception) -> LakeError:
    return LakeError(f"no record of a run: {error}", where=str(path), hint="restore the file, or move it away")


def versions() -> dict[str, str | None]:
    """The installed versions of the packages that results depend on."""
    return {package_name: _installed_version(package_name) for package_name in PACKAGES}


def _installed_version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None
