"""A student as a recipe names it: a folder, known by the bytes that loading it reads, and opened where it is needed."""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeVar

from dmforge.curation.atomic import disk_errors
from dmforge.schemas.config import Config, Operational
from dmforge.schemas.errors import InputError
from dmforge.schemas.ids import Id, digest

if TYPE_CHECKING:
    from dmforge.generators.engines.contract import Engine

C = TypeVar("C", bound=Config)
CONFIG, ADAPTERS = "config.json", "adapter_config.json"
READ = frozenset({".json", ".jinja", ".txt", ".model", ".safetensors"})
"""What a checkpoint is read from: configurations, tokenizer, chat template, weights."""
OF_TRAINING = frozenset({"trainer_state.json", "reader.json"})
"""What only the training that wrote it reads; weights of optimizers have other suffixes."""
MEND = "dmforge train sft CONFIG makes one; then name its checkpoint under [student]"


class StudentConfig(Config):
    """Which checkpoint rollouts are of. Where it lies doesn't matter to what comes out: its bytes do."""

    checkpoint: Operational[str] = ""
    """A folder that `dmforge train sft` wrote, or another Qwen3-VL that knows the tags; relative ones are seen from the
    workspace's folder."""
    weights: Literal["float32", "bfloat16"] = "float32"
    """How weights are kept, and computed with."""
    device: Operational[Literal["auto", "cpu"]] = "auto"
    """`cpu` leaves a GPU alone."""

    @property
    def folder(self) -> Path:
        return Path(self.checkpoint)

    def awaits(self) -> str:
        """What has to be made first; empty where the student is there."""
        if not self.checkpoint:
            return f"the recipe names no student: {MEND}"
        return "" if self.folder.is_dir() else f"there is no student at {self.checkpoint} yet: {MEND}"

    def id(self) -> Id:
        """Digest of every file that loading it reads; of one that isn't there yet, of nothing."""
        return digest("student", [list(pair) for pair in sums(self.folder)] if not self.awaits() else [])

    def require(self) -> None:
        """Refuse a folder that holds no student."""
        if not (self.folder / CONFIG).is_file():
            steps = sorted(path.name for path in self.folder.glob("checkpoint-*"))
            mend = f"name one of its checkpoints: {', '.join(steps)}" if steps else MEND
            raise InputError(f"no checkpoint: there is no {CONFIG}", where=f"[student] {self.checkpoint}", mend=mend)
        if (self.folder / ADAPTERS).exists():
            mend = "merge them into the weights, and name the folder of the whole"
            raise InputError("it holds adapters, whose weights are elsewhere", where=f"[student] {self.checkpoint}", mend=mend)


def seen_from(folder: Path, config: C) -> C:
    """A configuration whose student lies where a file in this folder says."""
    student: StudentConfig = config.student  # pyright: ignore[reportAttributeAccessIssue] (its caller looked)
    if not student.checkpoint:
        return config
    place = str((folder.absolute() / Path(student.checkpoint).expanduser()).resolve())
    return config.model_copy(update={"student": student.model_copy(update={"checkpoint": place})})


def sums(folder: Path) -> tuple[tuple[str, str], ...]:
    """Name and sha256 of every file that loading a checkpoint reads. In one process each is read once, while it looks the
    same."""
    with disk_errors(folder):
        found = sorted(path for path in folder.iterdir() if path.suffix in READ and path.name not in OF_TRAINING)
        return tuple((path.name, _sum(path, *_looks(path))) for path in found if path.is_file())


def open_engine(config: StudentConfig) -> Engine:
    """The student, loaded. This is the one place where rollouts choose their engine."""
    import torch
    from transformers.utils import logging

    from dmforge.generators.engines.transformers import TransformersEngine
    from dmforge.generators.student.load import load

    logging.disable_progress_bar()  # the run has a display of its own
    before = {path: _looks(path) for path in config.folder.iterdir()}
    device = "cuda" if config.device == "auto" and torch.cuda.is_available() else "cpu"
    student = load(config.checkpoint, getattr(torch, config.weights), device)
    if before != {path: _looks(path) for path in config.folder.iterdir()}:
        raise InputError("it was changed while it was loaded", where=f"[student] {config.checkpoint}", mend="run again")
    return TransformersEngine(student)


def _looks(path: Path) -> tuple[int, int, int]:
    told = path.stat()
    return told.st_ino, told.st_size, told.st_mtime_ns


@cache
def _sum(path: Path, *looks: int) -> str:
    del looks  # part of the key: a file that looks otherwise is read again
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
