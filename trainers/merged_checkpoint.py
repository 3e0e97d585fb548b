"""Merges adapters into their base: an ordinary checkpoint, which needs neither of them any more."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch

from dmforge.curation.io.atomic import sync_files
from dmforge.curation.io.command_result import Block, CommandResult
from dmforge.curation.output_paths import output_folder
from dmforge.curation.shards.folders import published
from dmforge.generators.student.adapters import base_of
from dmforge.generators.student.checkpoint_files import is_adapted
from dmforge.generators.student.load_student import load
from dmforge.schemas.errors import InputError

CARD = "README.md"


@dataclass(frozen=True, slots=True)
class MergedCheckpoint(CommandResult):
    """The folder that was written, and the base that the adapters were trained on."""

    checkpoint: Path
    base: str
    parameters: int
    """The number of weights, adapters not counted: they are no more."""

    def as_json(self) -> dict[str, Any]:
        return {"metrics": {"parameters": self.parameters}, "checkpoint": str(self.checkpoint), "base": self.base}

    def blocks(self) -> Iterator[Block]:
        yield f"{self.checkpoint}: a whole checkpoint, {self.base} with the adapters in its weights"


def merge_adapters(checkpoint: Path, folder: Path, weights: Literal["float32", "bfloat16"]) -> MergedCheckpoint:
    """Write the folder; it is whole, or it isn't there."""
    if not is_adapted(checkpoint):
        hint = "give a checkpoint of a training with [model.adapters]"
        raise InputError("it holds no adapters", where=str(checkpoint), hint=hint)
    output_folder(folder, "OUT")
    if folder.exists():
        raise InputError("the folder is there already", where=str(folder), hint="name another one, or remove it")
    student = load(str(checkpoint), getattr(torch, weights))
    with published(folder) as unfinished_folder:
        student.save(unfinished_folder)
        card = (checkpoint / CARD).read_text("utf-8") if (checkpoint / CARD).is_file() else ""
        (unfinished_folder / CARD).write_text(card.replace("library_name: peft", "library_name: transformers", 1), "utf-8")
        sync_files(unfinished_folder)
    return MergedCheckpoint(folder, base_of(checkpoint), student.model.num_parameters())
