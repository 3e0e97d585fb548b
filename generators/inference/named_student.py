"""The student that a recipe names: a checkpoint folder, identified by the bytes that loading it reads."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeVar

from dmforge.curation.io.known_checksums import file_version
from dmforge.generators.student.checkpoint_files import CONFIG, file_digests, is_adapted
from dmforge.schemas.config import Config, Later, Operational
from dmforge.schemas.dialects.dialect_name import DialectName
from dmforge.schemas.errors import InputError
from dmforge.schemas.ids import Id, digest

if TYPE_CHECKING:
    from dmforge.generators.inference.engines.engine import Engine

C = TypeVar("C", bound=Config)
HINT = "dmforge train sft CONFIG makes one; then name its checkpoint under [student]"


class StudentConfig(Config):
    """The checkpoint that rollouts are made with. Results depend on its bytes, not on where it lies."""

    checkpoint: Operational[str] = ""
    """A folder that `dmforge train sft` wrote, or another Qwen3-VL that knows the tags; relative ones are seen from the
    workspace's folder."""
    weights: Literal["float32", "bfloat16"] = "float32"
    """How weights are kept, and computed with."""
    device: Operational[Literal["auto", "cpu"]] = "auto"
    """`cpu` leaves a GPU alone."""
    dialect: Later[DialectName] = "span"
    """The form in which the student writes its looks: `span`, `tool` or `grounding` (docs/student.md). Stages that measure by
    rollouts know `span` alone so far, and refuse the others."""

    @property
    def folder(self) -> Path:
        return Path(self.checkpoint)

    def blocked_by(self) -> str:
        """Says what has to be made first; empty where the student is there."""
        if not self.checkpoint:
            return f"the recipe names no student: {HINT}"
        return "" if self.folder.is_dir() else f"there is no student at {self.checkpoint} yet: {HINT}"

    def id(self) -> Id:
        """Digest of every file that loading the student reads; of an empty list where there is no student yet."""
        return digest(
            "student", [list(name_and_sha256) for name_and_sha256 in file_digests(self.folder)] if not self.blocked_by() else []
        )

    def require_span(self) -> None:
        """Refuse a dialect in which no looks can be forced on the student."""
        if self.dialect != "span":
            hint = (
                "a student of another dialect can be trained by SFT and rolled out (docs/student.md), not measured by a stage"
            )
            raise InputError(f"the dialect `{self.dialect}` is not measured yet", where="[student] dialect", hint=hint)

    def require(self) -> None:
        """Refuse a folder that holds no student."""
        if not (self.folder / CONFIG).is_file() and not is_adapted(self.folder):
            checkpoint_names = sorted(checkpoint_folder.name for checkpoint_folder in self.folder.glob("checkpoint-*"))
            hint = f"name one of its checkpoints: {', '.join(checkpoint_names)}" if checkpoint_names else HINT
            raise InputError(f"no checkpoint: there is no {CONFIG}", where=f"[student] {self.checkpoint}", hint=hint)


def resolve_checkpoint(folder: Path, config: C) -> C:
    """The configuration with its student's checkpoint as an absolute path; a relative one is seen from `folder`."""
    student_config: StudentConfig = config.student  # pyright: ignore[reportAttributeAccessIssue] (the caller has checked)
    if not student_config.checkpoint:
        return config
    absolute_checkpoint = str((folder.absolute() / Path(student_config.checkpoint).expanduser()).resolve())
    return config.model_copy(update={"student": student_config.model_copy(update={"checkpoint": absolute_checkpoint})})


def open_engine(config: StudentConfig) -> Engine:
    """The student, loaded. This is the one place where rollouts choose their engine."""
    import torch
    from transformers.utils import logging

    from dmforge.generators.inference.engines.transformers_engine import TransformersEngine
    from dmforge.generators.student.load_student import load

    logging.disable_progress_bar()  # the run has its own progress display
    versions_before = {checkpoint_file: file_version(checkpoint_file) for checkpoint_file in config.folder.iterdir()}
    device = "cuda" if config.device == "auto" and torch.cuda.is_available() else "cpu"
    student = load(config.checkpoint, getattr(torch, config.weights), device, dialect=config.dialect)
    if versions_before != {checkpoint_file: file_version(checkpoint_file) for checkpoint_file in config.folder.iterdir()}:
        raise InputError(
            "the checkpoint was changed while it was loaded", where=f"[student] {config.checkpoint}", hint="run again"
        )
    return TransformersEngine(student)
