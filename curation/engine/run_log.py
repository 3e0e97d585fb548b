"""The record of a run: who ran what, when, with which resolved recipe and versions, and what it spent so far. Times and hosts
are stored here only."""

from __future__ import annotations

import json
import platform
import socket
from collections import Counter
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa

from dmforge.curation.contract.budget import Budget
from dmforge.curation.contract.run_events import (
    AnswerKnown,
    BatchCommitted,
    RequestEvent,
    RunBegan,
    RunEnded,
    RunEvent,
    StageBegan,
)
from dmforge.curation.io import machine
from dmforge.curation.io.atomic import write_json
from dmforge.curation.io.plugins import loaded_plugins
from dmforge.curation.io.sealed_json import sealed, unsealed
from dmforge.curation.sources.reviews import FOLDER as REVIEWS
from dmforge.curation.workspace_folder import WorkspaceFolder, user_name
from dmforge.schemas.columns import schema
from dmforge.schemas.errors import DmforgeError, LakeError, first_line
from dmforge.schemas.ids import Id, read, show
from dmforge.schemas.records import Video
from dmforge.schemas.visible import shortened

Ending = Literal["done", "unfinished", "failed", "interrupted"]
PACKAGES = ("dmforge", "duckdb", "pyarrow", "av", "pydantic")
MAX_ERROR_CHARS = 500
WRITE_EVERY_S = 2.0
"""Seconds between writes while a run asks: what a killed run has spent since is in the journal alone."""


class Run:
    """The record of a current run. Its file says `running` until it ends; that of a killed run stays so, with what it had
    spent when it was last written."""

    def __init__(self, workspace: WorkspaceFolder, command: str, recipe: Mapping[str, Any], account: Budget) -> None:
        start_time = machine.current.utc_now()
        # the random part keeps names apart when a clock was set back
        self.path: Path = workspace.runs / f"{start_time:%Y%m%dT%H%M%S}-{machine.current.random_hex(4)}.json"
        self.ending: Ending | None = None
        self.account = account
        self.last_video: Id | None = None
        """Of a pilot: the last of its videos."""
        self._settled = Counter[tuple[str, str]]()
        """By stage and variant, the inputs that this run has settled."""
        self._known_answers = Counter[str]()
        self._content: dict[str, Any] = {
            "command": command, "state": "running", "started": start_time.isoformat(), "ended": None,
            "user": user_name(), "host": socket.gethostname(),
            "pid": machine.current.process_id(), "python": platform.python_version(),
            "packages": versions(), "plugins": loaded_plugins(), "cost_usd": 0.0, "spent": [], "notes": [], "settled": [],
            "stages": [], "last_video": None, "recipe": recipe, "input_lines": input_lines(workspace),
            "allowance": None if account.allowance is None else asdict(account.allowance),
        }  # fmt: skip
        self._write()
        account.events.emit(RunBegan(self.path.stem, command))

    def stage(self, stage_name: str, stage_counts: Mapping[str, Any]) -> None:
        """Note how a stage ended."""
        self._content["stages"].append({"name": stage_name, **stage_counts})

    def follow(self, event: RunEvent) -> None:
        """Count what is settled: with what was spent beside it a plan tells what an input costs. Now and then it is written."""
        is_due = False
        if isinstance(event, StageBegan):
            self._settled[event.stage, event.variant] += 0
        elif isinstance(event, BatchCommitted):
            self._settled[event.stage, event.variant] += event.made + event.rejected + event.quarantined
            is_due = any(stage_name == event.stage for stage_name, _ in self.account.spent)
        elif isinstance(event, AnswerKnown):
            self._known_answers[event.stage] += 1
        elif isinstance(event, RequestEvent):
            is_due = machine.current.monotonic() >= self._written_s + WRITE_EVERY_S
        if is_due:
            with suppress(DmforgeError):  # a disk that refuses is said by the last write: paid calls are under way here
                self._write()

    def close(self, ending: Ending, error: str = "") -> None:
        """Write down how the run ended."""
        self._content |= {"state": self.ending or ending, "ended": machine.current.utc_now().isoformat()}
        self.account.events.emit(RunEnded(self._content["state"], self.account.usd, error))
        self._write()

    def _write(self) -> None:
        """Write down what was spent and settled so far, stage by stage and model by model."""
        spent_rows = [
            {"stage": stage_name, "model": model, **asdict(spent_entry.usage), "usd": spent_entry.usd}
            for (stage_name, model), spent_entry in sorted(self.account.spent.items())
        ]
        settled_rows = [
            {
                "stage": stage_name,
                "variant": variant,
                "inputs": settled_inputs,
                "known_answers": self._known_answers[stage_name],
            }
            for (stage_name, variant), settled_inputs in self._settled.items()
        ]
        last_video = None if self.last_video is None else show(Video.kind, self.last_video)
        self._content |= {"cost_usd": self.account.usd, "spent": spent_rows, "notes": self.account.notes}
        self._content |= {"settled": settled_rows, "last_video": last_video}
        self._written_s = machine.current.monotonic()
        write_json(self.path, sealed(self._content))


@contextmanager
def recorded(
    workspace: WorkspaceFolder, command: str, recipe: Mapping[str, Any], account: Budget | None = None
) -> Generator[Run]:
    """Record a run, and what it spends of an account, however it ends; by a kill, what it had spent up to shortly before."""
    run = Run(workspace, command, recipe, account or Budget())
    try:
        with run.account.events.followed_by(run.follow):
            yield run
    except KeyboardInterrupt:
        run.close("interrupted")
        raise
    except BaseException as error:
        try:
            run.close("failed", error_text(error))
        except DmforgeError:
            # a full disk fails the record too: the first error is the one to show
            raise error from None
        raise
    run.close("done")


def error_text(error: BaseException) -> str:
    """What stopped a run, in one line."""
    message_text = error.message if isinstance(error, DmforgeError) else f"{type(error).__name__}: {first_line(error)}"
    place_prefix = f"{error.where}: " if isinstance(error, DmforgeError) and error.where else ""
    return shortened(place_prefix + message_text, MAX_ERROR_CHARS)


def spent_usd(workspace: WorkspaceFolder) -> float:
    """The total cost of a workspace's runs."""
    return sum(_cost_usd(record_path) for record_path in sorted(workspace.runs.glob("*.json")))


@dataclass(frozen=True, slots=True)
class StageOfRun:
    """A stage in a run, as far as that was recorded."""

    run: str
    """The name of the run's record in `runs/`."""
    stage: str
    """The stage."""
    seconds: float
    """How long it took."""


def stages_of_runs(workspace: WorkspaceFolder) -> pa.Table:
    """The seconds of each stage in each run: a table for audits."""
    stage_rows = [
        {"run": record_path.stem, "stage": stage_entry["name"], "seconds": float(stage_entry.get("seconds", 0.0))}
        for record_path, run_record in records(workspace)
        for stage_entry in run_record["stages"]
    ]
    return pa.Table.from_pylist(stage_rows, schema(StageOfRun))


def plugins_of_runs(workspace: WorkspaceFolder) -> dict[str, str]:
    """The plug-ins that runs had, as `dmforge.stages:length`, with the package and version that each last came from."""
    return {
        plugin_name: package
        for _, run_record in records(workspace)
        for plugin_name, package in run_record.get("plugins", {}).items()
    }


def stage_settings_of_runs(workspace: WorkspaceFolder, stage: str) -> Iterator[dict[str, Any]]:
    """The settings that a stage had in each run."""
    for _, run_record in records(workspace):
        stage_settings = run_record.get("recipe", {}).get("stages", {}).get(stage)
        if isinstance(stage_settings, dict):
            yield stage_settings


def pilots(workspace: WorkspaceFolder) -> list[Id]:
    """The last video of each pilot, the largest pilot first."""
    pilot_names = {run_record["last_video"] for _, run_record in records(workspace) if run_record.get("last_video")}
    return sorted((read(pilot_name)[1] for pilot_name in pilot_names), reverse=True)


def records(workspace: WorkspaceFolder) -> Iterator[tuple[Path, dict[str, Any]]]:
    """The record of each run, in the order in which they began."""
    for record_path in sorted(workspace.runs.glob("*.json")):
        yield record_path, read_record(record_path)


def input_lines(workspace: WorkspaceFolder) -> dict[str, int]:
    """How many lines the files have that only ever grow, takedowns and reviews: fewer later are lines that were lost."""
    paths = (workspace.forgotten, *sorted((workspace.inputs / REVIEWS).glob("*.jsonl")))
    return {str(path.relative_to(workspace.inputs)): path.read_bytes().count(b"\n") for path in paths if path.is_file()}


def read_record(record_path: Path) -> dict[str, Any]:
    """The record of one run."""
    try:
        return unsealed(json.loads(record_path.read_bytes()))
    except (ValueError, AttributeError, RecursionError) as error:
        raise _unreadable_record(record_path, error) from None


def _cost_usd(record_path: Path) -> float:
    try:
        return float(read_record(record_path)["cost_usd"])
    except (ValueError, KeyError, TypeError) as error:
        raise _unreadable_record(record_path, error) from None


def _unreadable_record(record_path: Path, error: Exception) -> LakeError:
    return LakeError(f"no record of a run: {error}", where=str(record_path), hint="restore the file, or move it away")


def versions() -> dict[str, str | None]:
    """The installed versions of the packages that results depend on."""
    return {package_name: _installed_version(package_name) for package_name in PACKAGES}


def _installed_version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None
