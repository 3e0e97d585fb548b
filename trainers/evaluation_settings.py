"""The settings of an evaluation: one TOML file, every key documented where it is declared."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, NonNegativeInt, PositiveInt, model_validator

from dmforge.curation.output_paths import output_folder
from dmforge.curation.workspace_folder import WorkspaceFolder
from dmforge.generators.inference.engines.engine_settings import VllmSettings
from dmforge.schemas import formats
from dmforge.schemas.config import Config, Formerly, Later, Operational
from dmforge.schemas.errors import InputError
from dmforge.trainers.roll_settings import RollSettings
from dmforge.trainers.training_settings import SettingsSource, path_of, read_training_file, resolve_checkpoint, resolve_location


class BootstrapSettings(Config):
    """How the intervals of figures are computed."""

    resamples: PositiveInt = 2_000
    """Resamples of whole videos, since questions about one video succeed and fail together."""
    seed: NonNegativeInt = 0
    """The seed of the resamples."""


class EvaluationSettings(Config):
    """One checkpoint, measured on some corpora."""

    format: Operational[PositiveInt] = formats.TRAINING
    """The format of this file; `dmforge upgrade FILE` brings an older one up."""
    checkpoint: str
    """A folder with a student, or its id on the Hub; in the dialect `span` it knows the tags."""
    dialect: Later[Literal["span", "tool"]] = "span"
    """The form in which it writes its looks (docs/student.md). `[roll] held_to` needs `span`."""
    corpora: tuple[str, ...]
    """Folders of packed `cot` selections, of videos that the checkpoint has not been trained on."""
    baseline_corpora: tuple[str, ...] = ()
    """The corpora of the training, on which the constant span is chosen. Without any it is chosen on the targets that it is
    then measured on, which flatters it."""
    max_samples: Annotated[NonNegativeInt, Formerly("most_samples")] = 0
    """The most samples of each corpus, spread evenly over it; 0 takes all."""
    out: Operational[str] = ""
    """The folder for rows.jsonl and metrics.json; by default beside the checkpoint, as checkpoint-500.evaluation."""
    workspace: Operational[str] = ""
    """A workspace in whose lake the rows are kept as well: `dmforge audit --sql` finds them there as `evaluations`,
    and `dmforge forget` removes those of a video."""
    weights: Literal["float32", "bfloat16"] = "float32"
    """The type of the weights, also used to compute."""
    device: Operational[Literal["auto", "cpu"]] = "auto"
    """`cpu` leaves a GPU alone."""
    batch_rows: Operational[PositiveInt] = 32
    """Trajectories that are rolled out in one batch."""
    engine: Later[VllmSettings | None] = None
    """`[engine]` with `kind = "vllm"`: vLLM rolls out (docs/engines.md). Without, the student in this process does."""
    roll: RollSettings = Field(default_factory=RollSettings)
    """`[roll]`"""
    bootstrap: BootstrapSettings = Field(default_factory=BootstrapSettings)
    """`[bootstrap]`"""

    @model_validator(mode="after")
    def _held_in_span_alone(self) -> Self:
        if self.roll.held_to and self.dialect != "span":
            message = f"a student of the dialect `{self.dialect}` can't be held to fewer looks"
            raise InputError(message, where="[roll] held_to", hint="leave it out, or lower max_looks")
        return self


def read_evaluation(source: SettingsSource) -> EvaluationSettings:
    """The settings of an evaluation. Relative folders start from the file's own, without a file from the current one."""
    settings, settings_path = read_training_file(EvaluationSettings, source), path_of(source)
    if not settings.corpora:
        hint = 'name folders of packed cot selections: corpora = ["ws/shards/cot/..."]'
        raise InputError("corpora is empty: there is nothing to evaluate on", where=str(settings_path), hint=hint)
    workspace_location = resolve_location(settings_path, settings.workspace) if settings.workspace else ""
    if workspace_location and not WorkspaceFolder(Path(workspace_location)).recipe.is_file():
        hint = "name a folder that dmforge init has made: that of the corpora, say"
        raise InputError(f"there is no workspace in {workspace_location}", where=f"{settings_path}: workspace", hint=hint)
    if workspace_location:
        WorkspaceFolder(Path(workspace_location)).require()
    checkpoint_location = resolve_checkpoint(settings_path, settings.checkpoint)
    return settings.model_copy(
        update={
            "checkpoint": checkpoint_location,
            "corpora": tuple(resolve_location(settings_path, corpus_location) for corpus_location in settings.corpora),
            "baseline_corpora": tuple(
                resolve_location(settings_path, corpus_location) for corpus_location in settings.baseline_corpora
            ),
            "out": str(output_folder(out_folder(checkpoint_location, settings_path, settings.out), f"{settings_path}: out")),
            "workspace": workspace_location,
        }
    )


def out_folder(checkpoint: str, settings_path: Path, out_setting: str) -> Path:
    """The folder that the rows are written to."""
    if out_setting:
        return Path(resolve_location(settings_path, out_setting))
    if not Path(checkpoint).is_dir() and checkpoint.count("/") == 1 and not checkpoint.startswith("/"):
        raise InputError(
            "a checkpoint on the Hub has no folder beside it", where=f"{settings_path}: out", hint='add out = "FOLDER"'
        )
    return Path(checkpoint).with_name(Path(checkpoint).name + ".evaluation")
