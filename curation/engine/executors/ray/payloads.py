"""Messages between driver and Ray workers, and the check that a worker has the driver's code and versions."""

from __future__ import annotations

import os
import platform
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from dmforge.curation.contract.stage import AnyStage
from dmforge.curation.contract.stage_results import StageResults, from_bytes, to_bytes
from dmforge.curation.engine import run_log
from dmforge.curation.engine.executors.batch_results import Deferred, FinishedBatch
from dmforge.curation.io.arrow_stream import stream_of, table_of
from dmforge.curation.lake.worklist import WorkBatch
from dmforge.curation.workspace_folder import WorkspaceFolder
from dmforge.schemas.errors import DmforgeError, InputError
from dmforge.schemas.ids import Id

MAX_LOSSES = 5
"""How often a piece of work may be lost; then its inputs stay pending, since they may be what brings machines down."""
LOST = f"its worker was lost {MAX_LOSSES} times"


def installed() -> dict[str, str | None]:
    """The installed versions that results depend on."""
    return {"python": platform.python_version()} | run_log.versions()


@dataclass(frozen=True)
class RemoteStage:
    """A stage and its workspace: the same for all workers."""

    stage: AnyStage
    root: str
    variant: Id
    installed: Mapping[str, str | None] = field(default_factory=installed)

    def workspace(self) -> WorkspaceFolder:
        """The workspace on this worker; an error where it isn't there, or where code or versions differ from the driver's."""
        host = socket.gethostname()
        local_versions = installed()
        differing_packages = [
            f"{package_name} {local_versions[package_name]}, not {driver_version}"
            for package_name, driver_version in self.installed.items()
            if local_versions[package_name] != driver_version
        ]
        if differing_packages:
            hint = "install the same versions on every machine of the cluster: what they make would differ"
            raise DmforgeError(f"{host} has {'; '.join(differing_packages)}", where="--executor ray", hint=hint)
        # digested anew from the code and prompts on this machine
        if type(self.stage)(self.stage.config).variant != self.variant:
            hint = "install the same code on every machine of the cluster"
            raise DmforgeError(f"{host} has another {self.stage.name!r}", where="--executor ray", hint=hint)
        workspace = WorkspaceFolder(Path(self.root), f"{host}-{os.getpid()}")
        if not workspace.recipe.is_file():
            hint = "mount the folder on every machine of the cluster, at the same path"
            raise InputError(f"{host} sees no workspace there", where=self.root, hint=hint)
        return workspace


@dataclass(frozen=True, slots=True)
class SentInputs:
    """Inputs sent to a worker: Arrow IPC, with the ids of the inputs and their videos."""

    items: bytes
    inputs: list[Id]
    videos: list[Id]

    @classmethod
    def of(cls, batch: WorkBatch, start: int = 0, stop: int | None = None) -> SentInputs:
        """Some of a batch's inputs, or all."""
        row_slice = slice(start, batch.items.num_rows if stop is None else stop)
        return cls(
            stream_of(batch.items.slice(row_slice.start, row_slice.stop - row_slice.start)).to_pybytes(),
            batch.inputs[row_slice],
            batch.videos[row_slice],
        )

    def batch(self) -> WorkBatch:
        return WorkBatch(table_of(self.items), self.inputs, self.videos)


@dataclass(frozen=True, slots=True)
class ReturnedResults:
    """The results that a worker sends back."""

    settled: dict[str, bytes] | None
    deferred: tuple[Deferred, ...]
    took_s: float = 0.0

    @classmethod
    def of(cls, finished_batch: FinishedBatch, took_s: float = 0.0) -> ReturnedResults:
        stage_results = finished_batch.settled
        return cls(to_bytes(stage_results) if stage_results is not None else None, finished_batch.deferred, took_s)

    def rows(self) -> StageResults | None:
        return from_bytes(self.settled) if self.settled is not None else None
