"""What an evaluation is told: one TOML file, every key documented where it is declared."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, NonNegativeInt, PositiveInt

from dmforge.curation.outputs import output_folder
from dmforge.curation.workspace import Workspace
from dmforge.schemas import formats
from dmforge.schemas.config import Config, Operational
from dmforge.schemas.errors import InputError
from dmforge.trainers.settings import beside, read_training_file


class RollSettings(Config):
    """What a trajectory may cost."""

    most_looks: PositiveInt = 1
    """Looks that are answered with frames."""
    most_tokens: PositiveInt = 512
    """That the policy may write."""
    most_visual_tokens: PositiveInt = 1 << 20
    """Of all clips that it is shown, the coarse one included."""


class BootstrapSettings(Config):
    """How sure the figures are."""

    resamples: PositiveInt = 2_000
    """Of whole videos, since questions about one video succeed and fail together."""
    seed: NonNegativeInt = 0
    """Of what is drawn."""


class EvaluationSettings(Config):
    """One checkpoint, measured on some corpora."""

    format: Operational[PositiveInt] = formats.TRAINING
    """The format of this file; `dmforge upgrade FILE` brings an older one up."""
    checkpoint: str
    """A folder with a Qwen3-VL that knows the tags, or its id on the Hub."""
    corpora: tuple[str, ...]
    """Folders of packed `cot` selections, of videos that the checkpoint has not been trained on."""
    baseline_corpora: tuple[str, ...] = ()
    """Where the constant span is chosen: the corpora of the training. Without any it is chosen on the targets that it is then
    measured on, which flatters it."""
    most_samples: NonNegativeInt = 0
    """Of each corpus, spread evenly over it; 0 takes all."""
    out: Operational[str] = ""
    """The folder for rows.jsonl and metrics.json; by default beside the checkpoint, as checkpoint-500.evaluation."""
    workspace: Operational[str] = ""
    """A workspace in whose lake the rows are kept as well: `dmforge audit --sql` knows them there as `evaluations`, and
    `dmforge forget` takes those of a video out."""
    weights: Literal["float32", "bfloat16"] = "float32"
    """How weights are kept, and computed with."""
    device: Operational[Literal["auto", "cpu"]] = "auto"
    """`cpu` leaves a GPU alone."""
    batch_rows: Operational[PositiveInt] = 32
    """Trajectories that are rolled out side by side."""
    roll: RollSettings = Field(default_factory=RollSettings)
    """`[roll]`"""
    bootstrap: BootstrapSettings = Field(default_factory=BootstrapSettings)
    """`[bootstrap]`"""


def read_evaluation(path: Path) -> EvaluationSettings:
    """The settings of a file. Folders in it are meant from where it lies."""
    told = read_training_file(EvaluationSettings, path)
    if not told.corpora:
        mend = 'name folders of packed cot selections: corpora = ["ws/shards/cot/..."]'
        raise InputError("corpora is empty: there is nothing to evaluate on", where=str(path), mend=mend)
    workspace = beside(path, told.workspace) if told.workspace else ""
    if workspace and not Workspace(Path(workspace)).recipe.is_file():
        mend = "name a folder that dmforge init has made: that of the corpora, say"
        raise InputError(f"there is no workspace in {workspace}", where=f"{path}: workspace", mend=mend)
    if workspace:
        Workspace(Path(workspace)).require()
    checkpoint = beside(path, told.checkpoint) if told.checkpoint.startswith(".") else told.checkpoint
    return told.model_copy(
        update={
            "checkpoint": checkpoint,
            "corpora": tuple(beside(path, place) for place in told.corpora),
            "baseline_corpora": tuple(beside(path, place) for place in told.baseline_corpora),
            "out": str(output_folder(out_folder(checkpoint, path, told.out), f"{path}: out")),
            "workspace": workspace,
        }
    )


def out_folder(checkpoint: str, path: Path, out: str) -> Path:
    """Where the rows go."""
    if out:
        return Path(beside(path, out))
    if not Path(checkpoint).is_dir() and checkpoint.count("/") == 1 and not checkpoint.startswith("/"):
        raise InputError("a checkpoint on the Hub has nothing beside it", where=f"{path}: out", mend='add out = "FOLDER"')
    return Path(checkpoint).with_name(Path(checkpoint).name + ".evaluation")
