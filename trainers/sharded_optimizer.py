"""The optimizer's state in a checkpoint of several ranks: each writes the rows that it holds, any number of ranks reads them.

optimizer-00000-of-00002.rows    rows of both means of each weight, as `mean/weight`; the groups of weights as metadata
optimizer-00001-of-00002.rows    the rows behind them

A weight is cut into rows of its first dimension. One behind the other the files hold all of them, however many were cut. They
are safetensors by another name: engines load whatever is called so in a checkpoint.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch.distributed.tensor import DTensor
from transformers.trainer import OPTIMIZER_NAME

from dmforge.schemas.errors import InputError

FILES = "optimizer-*-of-*.rows"
GROUPS = "groups"

Groups = list[dict[str, Any]]
Names = Mapping[torch.Tensor, str]
"""The name of each weight."""


class StoredState(Protocol):
    """The state of an optimizer in a checkpoint."""

    @property
    def groups(self) -> Groups: ...

    def names(self, weight: str) -> Sequence[str]:
        """What is kept of a weight."""
        ...

    def rows(self, weight: str, name: str, first: int, stop: int) -> torch.Tensor:
        """Some rows of it; a single number is whole."""
        ...


def save(optimizer: Any, names: Names, folder: Path, rank: int, ranks: int) -> None:
    """Write this rank's rows."""
    tensors = {
        f"{name}/{names[weight]}": (value.to_local() if isinstance(value, DTensor) else value).cpu().contiguous()
        for weight, state in optimizer.state.items()
        for name, value in state.items()
    }
    groups = [{key: value for key, value in group.items() if key != "params"} for group in optimizer.param_groups]
    save_file(tensors, folder / f"optimizer-{rank:05}-of-{ranks:05}.rows", {GROUPS: json.dumps(groups)})


def has_rows(folder: Path) -> bool:
    """Whether a checkpoint holds an optimizer in rows."""
    return any(folder.glob(FILES))


def load(optimizer: Any, names: Names, folder: Path) -> None:
    """Give an optimizer, sharded or not, the state of a checkpoint, by however many ranks it was written."""
    weights = [weight for group in optimizer.param_groups for weight in group["params"]]
    weight_names = [names[weight] for weight in weights]
    stored: StoredState = _Rows.of(folder) if has_rows(folder) else _Whole.of(folder, weight_names)
    state = {
        index: {name: _part_of(weight, stored, weight_name, name) for name in stored.names(weight_name)}
        for index, (weight, weight_name) in enumerate(zip(weights, weight_names, strict=True))
    }
    own_groups = optimizer.state_dict()["param_groups"]
    groups = [{**group, "params": own_group["params"]} for group, own_group in zip(stored.groups, own_groups, strict=True)]
    optimizer.load_state_dict({"state": state, "param_groups": groups})


def _part_of(weight: torch.Tensor, stored: StoredState, weight_name: str, name: str) -> torch.Tensor:
    """What is kept of a weight, as far as this rank holds it."""
    if not isinstance(weight, DTensor):
        return stored.rows(weight_name, name, 0, len(weight) if weight.ndim else 0)
    local_rows, mesh = len(weight.to_local()), weight.device_mesh
    max_rows = -(-len(weight) // mesh.size())
    first = min(len(weight), max_rows * mesh.get_local_rank())
    part = stored.rows(weight_name, name, first, first + local_rows)
    if not part.ndim:
        return part
    return DTensor.from_local(
        part.to(weight.to_local().device), mesh, weight.placements, shape=weight.shape, stride=weight.stride()
    )


@dataclass(frozen=True)
class _Rows:
    """The files of several ranks."""

    files: Sequence[Any]
    groups: Groups

    @classmethod
    def of(cls, folder: Path) -> _Rows:
        paths = sorted(folder.glob(FILES))
        if len(paths) != int(paths[0].stem.rpartition("-")[2]):
            hint = f"there should be as many as {paths[0].name} says: fetch it whole, or resume from another checkpoint"
            raise InputError("the optimizer's rows of some ranks are missing", where=str(folder), hint=hint)
        files = [safe_open(path, "pt") for path in paths]
        return cls(files, json.loads(files[0].metadata()[GROUPS]))

    def names(self, weight: str) -> Sequence[str]:
        return self._names.get(weight, ())

    @cached_property
    def _names(self) -> Mapping[str, Sequence[str]]:
        names: dict[str, list[str]] = {}
        for key in self.files[0].keys():  # noqa: SIM118 - it is no mapping
            name, _, weight = key.partition("/")
            names.setdefault(weight, []).append(name)
        return names

    def rows(self, weight: str, name: str, first: int, stop: int) -> torch.Tensor:
        key, parts, file_start = f"{name}/{weight}", list[torch.Tensor](), 0
        for file in self.files:
            rows = file.get_slice(key)
            if not rows.get_shape():
                return file.get_tensor(key)
            file_stop = file_start + rows.get_shape()[0]
            if first < file_stop and file_start < stop:
                parts.append(rows[max(first, file_start) - file_start : min(stop, file_stop) - file_start])
            file_start = file_stop
        return torch.cat(parts) if parts else self.files[0].get_slice(key)[:0]


@dataclass(frozen=True)
class _Whole:
    """The one file of trainings that aren't sharded."""

    state: Mapping[str, Mapping[str, torch.Tensor]]
    groups: Groups

    @classmethod
    def of(cls, folder: Path, weight_names: Sequence[str]) -> _Whole:
        stored: dict[str, Any] = torch.load(folder / OPTIMIZER_NAME, map_location="cpu", weights_only=True, mmap=True)
        state: dict[int, dict[str, torch.Tensor]] = stored["state"]
        return cls({weight_names[index]: kept for index, kept in state.items()}, stored["param_groups"])

    def names(self, weight: str) -> Sequence[str]:
        return [*self.state.get(weight, ())]

    def rows(self, weight: str, name: str, first: int, stop: int) -> torch.Tensor:
        kept = self.state[weight][name]
        return kept[first:stop].clone() if kept.ndim else kept
