"""What a training is told, and what one by SFT is told: one TOML file, every key documented where it is declared."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Literal, Self, TypeVar

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt, model_validator

from dmforge.curation.outputs import output_folder
from dmforge.curation.toml import read_toml
from dmforge.schemas import formats
from dmforge.schemas.clips import Clips
from dmforge.schemas.config import Config, Operational, parse_config
from dmforge.schemas.errors import InputError


class Adapters(Config):
    """Low-rank adapters beside the weights, which then stay as they are."""

    rank: PositiveInt = 16
    """Of each adapter."""
    alpha: PositiveFloat = 32.0
    """What an adapter adds is multiplied by alpha / rank."""
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Share of an adapter's inputs that is dropped in training."""
    targets: str = r".*language_model.*\.(q|k|v|o|gate|up|down)_proj"
    """Modules that get one: a regular expression over their full names."""


class ModelSettings(Config):
    """Which student, and what of it learns."""

    checkpoint: str = ""
    """A folder with a Qwen3-VL, or its id on the Hub."""
    scratch: str = ""
    """Instead of a checkpoint, a small student from scratch by its name: tiny, speck."""
    add_tags: bool = False
    """Add the four tags to a checkpoint that has never seen them; otherwise it is refused."""
    weights: Literal["float32", "bfloat16"] = "float32"
    """How weights are kept. float32 with bf16 = true is the usual way: bfloat16 halves memory, and small steps are lost."""
    freeze: tuple[str, ...] = ()
    """Weights that don't learn, by patterns over their names: "model.visual.*". One that meets none is an error."""
    adapters: Adapters | None = None
    """Train low-rank adapters instead of the weights."""
    attention: Literal["blocks", "flash_attention_2"] = "blocks"
    """`flash_attention_2` needs the package flash-attn; `blocks` runs everywhere."""

    @model_validator(mode="after")
    def _one_origin(self) -> Self:
        if bool(self.checkpoint) == bool(self.scratch):
            raise ValueError("give either checkpoint or scratch")
        return self


class CorpusSettings(Config):
    """One packed selection."""

    place: str
    """The folder of its shards, here or at an address."""
    weight: PositiveFloat = 1.0
    """How often its samples come: 1 is once an epoch."""


class ReadingSettings(Config):
    """What any student learns from."""

    corpora: tuple[CorpusSettings, ...] = Field(min_length=1)
    """Packed selections, mixed by their weights: `cot` for SFT, `rl` for SD-GRPO."""
    clips: Clips | None = None
    """How frames must have been cut; by default as the corpora say, which must agree."""
    workers: Operational[NonNegativeInt] = 1
    """Processes that decode ahead for each rank."""
    verify: Operational[bool] = True
    """Check every byte of the shards before the first step."""


class DataSettings(ReadingSettings):
    """What is learnt from, and how much of it at once."""

    most_tokens: PositiveInt = 32_768
    """Of a global batch, over all ranks; with accumulation of each of its parts. A sample that costs more than a rank's share
    is an error."""
    most_samples: PositiveInt = 1 << 16
    """Of a global batch, over all ranks."""
    layout: Literal["packed", "padded"] = "packed"
    """Transcripts one behind the other in a row, attending to themselves only; or a row each."""


REPLICAS = (
    "not supported: each GPU holds the whole student, by torchrun; for less memory take [model.adapters], [model] freeze, "
    "gradient_checkpointing or bf16"
)
FROM_HUGGING_FACE: Mapping[str, str] = MappingProxyType(
    {
        "deepspeed": REPLICAS,
        "fsdp": REPLICAS,
        "fsdp_config": REPLICAS,
        "fp16": "not supported: bf16 = true",
        "optim": "not supported: AdamW, with betas and weight_decay",
        "max_steps": "steps says it",
        "num_train_epochs": "not supported: steps counts updates",
        "per_device_train_batch_size": "[data] most_tokens says it, in tokens and over all ranks",
        "gradient_accumulation_steps": "accumulation says it",
        "lr_scheduler_type": "schedule says it",
        "warmup_ratio": "not supported: warmup_steps counts updates",
        "max_grad_norm": "clip says it",
        "report_to": "it stands in [saving]",
        "logging_steps": "[saving] log_every says it",
        "save_steps": "[saving] save_every says it",
    }
)


class LearningSettings(Config):
    """How any student learns."""

    elsewhere = FROM_HUGGING_FACE

    steps: PositiveInt
    """Updates in all."""
    learning_rate: PositiveFloat = 1e-5
    """At its highest."""
    warmup_steps: NonNegativeInt = 0
    """Updates until it is there."""
    schedule: Literal["cosine", "linear", "constant_with_warmup"] = "cosine"
    """What it does then."""
    weight_decay: NonNegativeFloat = 0.0
    """Of AdamW."""
    betas: tuple[float, float] = (0.9, 0.98)
    """Of AdamW."""
    clip: PositiveFloat = 1.0
    """Largest norm of a gradient."""
    seed: NonNegativeInt = 0
    """Of the order of samples, of dropout, and of a student from scratch."""
    bf16: bool = False
    """Compute in bfloat16."""
    gradient_checkpointing: bool = False
    """Compute what the backward pass needs twice instead of keeping it."""


class StepSettings(LearningSettings):
    """How it learns."""

    accumulation: PositiveInt = 1
    """Global batches of an update."""


class OutSettings(Config):
    """What is left behind, and how often."""

    save_every: Operational[PositiveInt] = 500
    """Updates between checkpoints. One is always made at the end."""
    keep: Operational[PositiveInt] = 2
    """Checkpoints that stay."""
    log_every: Operational[PositiveInt] = 10
    """Updates between lines of log.jsonl."""
    report_to: Operational[tuple[str, ...]] = ()
    """Where Hugging Face's Trainer also reports to: wandb, tensorboard, ..."""
    device: Operational[Literal["auto", "cpu"]] = "auto"
    """`cpu` leaves a GPU alone."""


class TrainingSettings(Config):
    """Any training."""

    format: Operational[PositiveInt] = formats.TRAINING
    """The format of this file; `dmforge upgrade FILE` brings an older one up."""
    name: str
    """What the model is called in its card."""
    out: Operational[str]
    """The folder for checkpoints and logs; from where the file lies, if it isn't absolute."""
    model: ModelSettings
    """`[model]`"""
    data: ReadingSettings
    """`[data]`"""
    training: LearningSettings
    """`[training]`"""
    saving: OutSettings = Field(default_factory=OutSettings)
    """`[saving]`"""


class SftSettings(TrainingSettings):
    """A training by SFT."""

    name: str = "sft"
    """What the model is called in its card."""
    data: DataSettings
    """`[data]`"""
    training: StepSettings
    """`[training]`"""


C = TypeVar("C", bound=Config)
S = TypeVar("S", bound=TrainingSettings)


def read_sft(path: Path) -> SftSettings:
    """The settings of a file."""
    return read_settings(SftSettings, path)


def read_settings(kind: type[S], path: Path) -> S:
    """The settings of a training. Folders in its file are meant from where it lies."""
    told = read_training_file(kind, path)
    output_folder(Path(beside(path, told.out)), f"{path}: out")
    corpora = tuple(corpus.model_copy(update={"place": beside(path, corpus.place)}) for corpus in told.data.corpora)
    checkpoint = beside(path, told.model.checkpoint) if told.model.checkpoint.startswith(".") else told.model.checkpoint
    return told.model_copy(
        update={
            "out": beside(path, told.out),
            "data": told.data.model_copy(update={"corpora": corpora}),
            "model": told.model.model_copy(update={"checkpoint": checkpoint}),
        }
    )


def read_training_file(kind: type[C], path: Path) -> C:
    """The settings of a file of this format or an older one."""
    if not path.is_file():
        raise InputError("there is no such file", where=str(path), mend="give a TOML file: docs/training.md shows one")
    content = read_toml(path)
    formats.refuse_newer("the file", content.get("format", 1), formats.TRAINING, str(path))
    return parse_config(kind, content, where=str(path))


def beside(path: Path, place: str) -> str:
    """A place that a file names: an address as it is, a folder from where the file lies."""
    return place if "://" in place else str((path.parent / place).absolute())
