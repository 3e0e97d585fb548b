"""The weights of a student as they are now, as a checkpoint that any process on this machine can load: without a disk, and gone
with whoever holds it.

    checkpoint/  config.json, tokenizer                    a few small files in the folder for temporary ones
                 model.safetensors -> /proc/PID/fd/N       memory without a name

A file in /dev/shm would stay there, gigabytes of it, once its owner is killed; and in a container there is often room for 64 MB
only. Memory that is held by nothing but a descriptor has neither fault, and is opened by the descriptor's name.
"""

from __future__ import annotations

import copy
import json
import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import torch

from dmforge.generators.student.load import Student

NAMES = {torch.float32: "F32", torch.bfloat16: "BF16"}
"""Of kinds of numbers, in safetensors."""
WEIGHTS = "model.safetensors"


@dataclass(frozen=True, slots=True)
class Weight:
    """A weight, and the layer that adapts it, if one does."""

    parameter: torch.Tensor
    layer: Any = None

    def value(self) -> torch.Tensor:
        """With what its adapters add; they themselves stay as they are."""
        found = self.parameter.detach()
        if self.layer is not None:
            for name in self.layer.active_adapters:
                found = found + self.layer.get_delta_weight(name)
        return found


def weights_of(model: Any) -> dict[str, Weight]:
    """By the names that they have in a checkpoint; one that is tied to another stands there once."""
    plain = plain_model(model)
    adapted = {name: layer for name, layer in plain.named_modules() if hasattr(layer, "get_delta_weight")}
    found: dict[str, Weight] = {}
    for name, parameter in plain.named_parameters():
        owner, _, rest = name.rpartition(".base_layer.")
        if owner:
            found[f"{owner}.{rest}"] = Weight(parameter, adapted[owner] if rest == "weight" else None)
        elif ".lora_" not in name:
            found[name] = Weight(parameter)
    return found


def plain_model(model: Any) -> Any:
    """The model that adapters were put into."""
    return model.get_base_model() if hasattr(model, "get_base_model") else model


def write(file: BinaryIO, weights: Mapping[str, Weight], dtype: torch.dtype) -> None:
    """As safetensors, one weight after the other: its own writer takes a folder of a disk, or all of the file in memory."""
    header: dict[str, Any] = {}
    at = 0
    for name, weight in weights.items():
        end = at + weight.parameter.numel() * dtype.itemsize
        header[name] = {"dtype": NAMES[dtype], "shape": list(weight.parameter.shape), "data_offsets": [at, end]}
        at = end
    told = json.dumps(header).encode()
    told += b" " * (-len(told) % 8)
    file.write(len(told).to_bytes(8, "little") + told)
    for weight in weights.values():
        numbers = weight.value().to("cpu", dtype).contiguous().reshape(-1)
        file.write(numbers.view(torch.uint8).numpy().data)


class LiveCheckpoint:
    """A folder that is loaded like any checkpoint. Its weights are those of the last `renew`."""

    def __init__(self, student: Student, dtype: torch.dtype) -> None:
        self._dtype = dtype
        self._folder = tempfile.TemporaryDirectory(prefix="dmforge-student-")
        self._held: BinaryIO | None = None
        plain = plain_model(student.model)
        config = copy.deepcopy(plain.config)
        config.architectures = [type(plain).__name__]  # a model from scratch doesn't say so before it is saved
        config.save_pretrained(self.path)
        student.save_beside(self.path)

    @property
    def path(self) -> Path:
        return Path(self._folder.name)

    def renew(self, student: Student) -> None:
        """Nobody may be loading it meanwhile: the old weights go before the new ones come, so that both needn't find room."""
        if self._held is not None:
            self._held.close()
        self._held = os.fdopen(os.memfd_create(WEIGHTS), "wb")
        write(self._held, weights_of(student.model), self._dtype)
        self._held.flush()
        beside = self.path / f".{WEIGHTS}"
        beside.symlink_to(f"/proc/{os.getpid()}/fd/{self._held.fileno()}")
        os.replace(beside, self.path / WEIGHTS)

    def close(self) -> None:
        """Nothing stays."""
        if self._held is not None:
            self._held.close()
            self._held = None
        self._folder.cleanup()
