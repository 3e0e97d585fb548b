"""A student's current weights as a checkpoint in memory, which any process on this machine can load; it ends with its owner.

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
from pathlib import Path
from typing import Any, BinaryIO

import torch

from dmforge.generators.student.load_student import Student
from dmforge.generators.student.named_weights import LiveWeight, plain_model, weights_of

NAMES = {torch.float32: "F32", torch.bfloat16: "BF16"}
"""Names of data types in safetensors."""
WEIGHTS = "model.safetensors"


def write(file: BinaryIO, weight_by_name: Mapping[str, LiveWeight], dtype: torch.dtype) -> None:
    """Write weights as safetensors, one after the other: the library's own writer needs a disk, or the whole file in memory."""
    tensor_header: dict[str, Any] = {}
    byte_offset = 0
    for weight_name, live_weight in weight_by_name.items():
        end_offset = byte_offset + live_weight.parameter.numel() * dtype.itemsize
        tensor_header[weight_name] = {
            "dtype": NAMES[dtype],
            "shape": live_weight.shape,
            "data_offsets": [byte_offset, end_offset],
        }
        byte_offset = end_offset
    header_bytes = json.dumps(tensor_header).encode()
    header_bytes += b" " * (-len(header_bytes) % 8)
    file.write(len(header_bytes).to_bytes(8, "little") + header_bytes)
    for live_weight in weight_by_name.values():
        flat_values = live_weight.published().to("cpu", dtype).contiguous().reshape(-1)
        file.write(flat_values.view(torch.uint8).numpy().data)


class LiveCheckpoint:
    """A folder that loads like any checkpoint. Its weights are those of the last `renew`."""

    def __init__(self, student: Student, dtype: torch.dtype) -> None:
        self._dtype = dtype
        self._folder = tempfile.TemporaryDirectory(prefix="dmforge-student-")
        self._weights_file: BinaryIO | None = None
        unwrapped_model = plain_model(student.model)
        model_config = copy.deepcopy(unwrapped_model.config)
        # a model from scratch doesn't say so before it is saved; one that is spread over ranks is of a class of its own
        model_config.architectures = [type(unwrapped_model).__name__.removeprefix("FSDP")]
        model_config.save_pretrained(self.path)
        student.save_all_but_weights(self.path)

    @property
    def path(self) -> Path:
        return Path(self._folder.name)

    def renew(self, student: Student) -> None:
        """Write the student's current weights. Nobody may be loading meanwhile: the old ones are freed first, to save
        memory."""
        if self._weights_file is not None:
            self._weights_file.close()
        self._weights_file = os.fdopen(os.memfd_create(WEIGHTS), "wb")
        write(self._weights_file, weights_of(student.model), self._dtype)
        self._weights_file.flush()
        temporary_link = self.path / f".{WEIGHTS}"
        temporary_link.symlink_to(f"/proc/{os.getpid()}/fd/{self._weights_file.fileno()}")
        os.replace(temporary_link, self.path / WEIGHTS)

    def close(self) -> None:
        """Free the weights and remove the folder."""
        if self._weights_file is not None:
            self._weights_file.close()
            self._weights_file = None
        self._folder.cleanup()
