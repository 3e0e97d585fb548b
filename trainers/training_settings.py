"""The settings of any training, and those of SFT: one TOML file, every key documented where it is declared."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt, model_validator

from dmforge.curation.io.toml import read_toml
from dmforge.curation.output_paths import output_folder
from dmforge.schemas import formats
from dmforge.schemas.clips import Clips
from dmforge.schemas.config import Config, Formerly, Later, Operational, parse_config
from dmforge.schemas.dialects.dialect_name import DialectName
from dmforge.schemas.errors import InputError
from dmforge.trainers.roll_settings import RollLimits


class Adapters(Config):
    """Low-rank adapters beside the weights, which then stay as they are."""

    rank: PositiveInt = 16
    """Rank of each adapter."""
    alpha: PositiveFloat = 32.0
    """The output of an adapter is multiplied by alpha / rank."""
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Share of an adapter's inputs that is dropped in training."""
    targets: str = r".*language_model.*\.((q|k|v|o|gate|up|down|out)_proj|in_proj_(qkv|z))"
    """Modules that get an adapter: a regular expression over their full names."""


class ModelSettings(Config):
    """Which student learns, and which of its weights."""

    checkpoint: str = ""
    """A folder with a Qwen3-VL or Qwen3.5, or its id on the Hub."""
    from_config: Annotated[str, Formerly("scratch")] = ""
    """A small student with random weights, instead of a checkpoint: `tiny` (1.3 million of them), `mote` (.8), `mote-qwen3.5`
    (.8, a Qwen3.5), `speck` (.1)."""
    vocabulary: Later[tuple[str, ...]] = ()
    """Packed selections whose texts a small student's tokens are made from; by default the first of `[data]`. Who learns
    lesson after lesson needs the words of all of them from the first one on."""
    add_tags: bool = False
    """Add the four tags to a checkpoint that has never seen them; otherwise it is refused."""
    weights: Literal["float32", "bfloat16"] = "float32"
    """The type of the weights. float32 with bf16 = true is the usual way: bfloat16 halves memory, and small steps are lost."""
    freeze: tuple[str, ...] = ()
    """Weights that don't learn, by patterns over their names: "model.visual.*". A pattern without a match is an error."""
    adapters: Adapters | None = None
    """Train low-rank adapters instead of the weights, and with them the rows of the tags; a checkpoint names its base."""
    dialect: Later[DialectName] = "span"
    """The form in which the student writes its looks (docs/student.md); other forms than `span` need no `add_tags`."""
    attention: Literal["blocks", "flash_attention_2"] = "blocks"
    """`flash_attention_2` needs the package flash-attn; `blocks` runs everywhere."""

    @model_validator(mode="after")
    def _one_origin(self) -> Self:
        if bool(self.checkpoint) == bool(self.from_config):
            raise ValueError("give either checkpoint or from_config")
        if self.vocabulary and not self.from_config:
            raise ValueError("a checkpoint has a vocabulary: leave `vocabulary` out, or give from_config")
        if self.adapters and not self.checkpoint:
            raise ValueError("adapters lie beside weights that are kept somewhere: give a checkpoint instead of from_config")
        return self


class CorpusSettings(Config):
    """One packed selection."""

    place: str
    """The folder of its shards, local or at an address."""
    weight: PositiveFloat = 1.0
    """How often its samples come in an epoch: 1 is once."""


class ReadingSettings(Config):
    """The data of any training."""

    corpora: tuple[CorpusSettings, ...] = Field(min_length=1)
    """Packed selections, mixed by their weights: `cot` for SFT, `rl` for SD-GRPO."""
    clips: Clips | None = None
    """How frames must have been cut; by default as the corpora say, which must agree."""
    workers: Operational[NonNegativeInt] = 1
    """Processes that decode ahead for each rank."""
    verify: Operational[bool] = True
    """Check every byte of the shards before the first step."""


class DataSettings(ReadingSettings):
    """The data of SFT, and how much of it is in a batch."""

    max_tokens: Annotated[PositiveInt, Formerly("most_tokens")] = 32_768
    """The most tokens of a global batch, over all ranks; with accumulation of each of its parts. A sample that costs more
    than a rank's share is an error."""
    max_samples: Annotated[PositiveInt, Formerly("most_samples")] = 1 << 16
    """The most samples of a global batch, over all ranks."""
    keep_mb: Operational[NonNegativeInt] = 0
    """MB of memory, in each process that decodes, for samples that stay decoded: where a small corpus is seen often."""
    layout: Literal["packed", "padded"] = "packed"
    """Transcripts one behind the other in a row, each attending only to itself; or a row each."""


FSDP2 = 'shard = "fsdp2" says it'
HUGGING_FACE_KEYS: Mapping[str, str] = MappingProxyType(
    {
        "deepspeed": 'not supported: shard = "fsdp2" spreads the student over all ranks',
        "fsdp": FSDP2,
        "fsdp_config": FSDP2,
        "fp16": "not supported: bf16 = true",
        "optim": "optimizer says it",
        "max_steps": "steps says it",
        "num_train_epochs": "not supported: steps counts updates",
        "per_device_train_batch_size": "[data] max_tokens says it, in tokens and over all ranks",
        "gradient_accumulation_steps": "accumulation says it",
        "lr_scheduler_type": "schedule says it",
        "warmup_ratio": "not supported: warmup_steps counts updates",
        "report_to": "it stands in [saving]",
        "logging_steps": "[saving] log_every says it",
        "save_steps": "[saving] save_every says it",
    }
)


class LearningSettings(Config):
    """The learning of any training."""

    elsewhere = HUGGING_FACE_KEYS

    steps: PositiveInt
    """Total number of updates."""
    learning_rate: PositiveFloat = 1e-5
    """The highest learning rate."""
    warmup_steps: NonNegativeInt = 0
    """Updates until the learning rate is at its highest."""
    schedule: Literal["cosine", "linear", "constant_with_warmup"] = "cosine"
    """What the learning rate does after that."""
    optimizer: Later[Literal["adamw", "adafactor"]] = "adamw"
    """AdamW, with both means of each gradient; or Adafactor, which keeps a row and a column of squares for each matrix."""
    weight_decay: NonNegativeFloat = 0.0
    """Weight decay of either."""
    betas: tuple[float, float] = (0.9, 0.98)
    """Betas of AdamW."""
    max_grad_norm: Annotated[PositiveFloat, Formerly("clip")] = 1.0
    """The largest norm of a gradient; larger ones are scaled down."""
    seed: NonNegativeInt = 0
    """The seed of the order of samples, of dropout, and of a student from scratch."""
    bf16: bool = False
    """Compute in bfloat16."""
    gradient_checkpointing: bool = False
    """Recompute activations in the backward pass instead of keeping them."""
    shard: Operational[Literal["ddp", "fsdp2"]] = "ddp"
    """What each of several processes holds: the whole student, or with `fsdp2` its part of all weights, gradients and means."""


class StepSettings(LearningSettings):
    """The learning of SFT."""

    accumulation: PositiveInt = 1
    """Global batches per update."""


class UntilSettings(Config):
    """When a student has learnt enough: a training may end before its last step."""

    corpus: str
    """A packed selection that isn't trained on."""
    exact: Annotated[float, Field(gt=0, le=1)] = 0.95
    """The share of its samples that the student must know: given all that stands before it, each of their tokens is the one
    that it would write."""
    every: PositiveInt = 25
    """Updates between measurements."""
    samples: PositiveInt = 200
    """How many of its samples are measured, from the first on."""


class HeldOutSettings(Config):
    """How the student is measured while it learns: by greedy rollouts on samples that it doesn't learn from."""

    corpora: tuple[str, ...] = Field(min_length=1)
    """Packed selections of other videos than those of `[data]`."""
    every: PositiveInt = 100
    """Updates between measurements, each of which is followed by a checkpoint. The last update is measured, too."""
    max_samples: PositiveInt = 64
    """The most samples of each corpus, spread evenly over it."""
    best_by: Literal["miou", "miou_set", "accuracy", "answer_miou", "acc_gqa"] = "miou"
    """The figure by which the best checkpoint is known; it is kept whatever `[saving] keep` says."""
    patience: NonNegativeInt = 0
    """The training ends after so many measurements in a row that were no better than the best; 0 goes on to the last step."""
    roll: RollLimits = Field(default_factory=RollLimits)
    """`[evaluation.roll]`"""


class OutSettings(Config):
    """Checkpoints and logs, and how often they are written."""

    save_every: Operational[PositiveInt] = 500
    """Updates between checkpoints. One is always made at the end."""
    keep: Operational[PositiveInt] = 2
    """Number of newest checkpoints that are kept."""
    log_every: Operational[PositiveInt] = 10
    """Updates between lines of log.jsonl."""
    report_to: Operational[tuple[str, ...]] = ()
    """Where Hugging Face's Trainer also reports to: wandb, tensorboard, ..."""
    device: Operational[Literal["auto", "cpu"]] = "auto"
    """`cpu` leaves a GPU alone."""


class TrainingSettings(Config):
    """The settings of any training."""

    format: Operational[PositiveInt] = formats.TRAINING
    """The format of this file; `dmforge upgrade FILE` brings an older one up."""
    name: str
    """The model's name in its card."""
    out: Operational[str]
    """The folder for checkpoints and logs; relative to the folder of this file, if it isn't absolute."""
    model: ModelSettings
    """`[model]`"""
    data: ReadingSettings
    """`[data]`"""
    training: LearningSettings
    """`[training]`"""
    saving: OutSettings = Field(default_factory=OutSettings)
    """`[saving]`"""
    evaluation: Operational[HeldOutSettings | None] = None
    """`[evaluation]`: measures the student while it learns; without, only its loss is seen."""

    @model_validator(mode="after")
    def _spread_as_it_can_be(self) -> Self:
        if self.training.shard == "fsdp2" and self.model.adapters:
            raise ValueError('[model.adapters] leave little to spread: take shard = "ddp", or train without them')
        if self.training.shard == "fsdp2" and self.training.optimizer == "adafactor":
            raise ValueError("Adafactor's rows and columns can't be spread: take shard = \"ddp\", or AdamW")
        return self


class SftSettings(TrainingSettings):
    """The settings of a training by SFT."""

    name: str = "sft"
    """The model's name in its card."""
    data: DataSettings
    """`[data]`"""
    training: StepSettings
    """`[training]`"""
    until: Later[UntilSettings | None] = None
    """`[until]`: ends it once a score is reached; without, it takes all of its steps."""


ConfigT = TypeVar("ConfigT", bound=Config)
SettingsT = TypeVar("SettingsT", bound=TrainingSettings)


SettingsSource = Path | Mapping[str, Any]
"""A TOML file, or what stands in one."""


def read_sft(source: SettingsSource) -> SftSettings:
    """The settings of a training by SFT."""
    settings = read_settings(SftSettings, source)
    if settings.until is None:
        return settings
    held_out = resolve_location(path_of(source), settings.until.corpus)
    return settings.model_copy(update={"until": settings.until.model_copy(update={"corpus": held_out})})


def read_settings(settings_class: type[SettingsT], source: SettingsSource) -> SettingsT:
    """The settings of a training. Relative folders start from the file's own folder; without a file, from the current one."""
    settings, settings_path = read_training_file(settings_class, source), path_of(source)
    output_folder(Path(resolve_location(settings_path, settings.out)), f"{settings_path}: out")
    corpora = tuple(
        corpus.model_copy(update={"place": resolve_location(settings_path, corpus.place)}) for corpus in settings.data.corpora
    )
    checkpoint_location = resolve_checkpoint(settings_path, settings.model.checkpoint) if settings.model.checkpoint else ""
    vocabulary = tuple(resolve_location(settings_path, place) for place in settings.model.vocabulary)
    held_out = settings.evaluation and settings.evaluation.model_copy(
        update={"corpora": tuple(resolve_location(settings_path, place) for place in settings.evaluation.corpora)}
    )
    return settings.model_copy(
        update={
            "out": resolve_location(settings_path, settings.out),
            "evaluation": held_out,
            "data": settings.data.model_copy(update={"corpora": corpora}),
            "model": settings.model.model_copy(update={"checkpoint": checkpoint_location, "vocabulary": vocabulary}),
        }
    )


def path_of(source: SettingsSource) -> Path:
    """The file, or a name in the current folder for settings without one."""
    return source if isinstance(source, Path) else Path("settings")


def read_training_file(settings_class: type[ConfigT], source: SettingsSource) -> ConfigT:
    """The settings of this format or an older one."""
    settings_path = path_of(source)
    if isinstance(source, Path) and not source.is_file():
        raise InputError("there is no such file", where=str(settings_path), hint="give a TOML file: docs/training.md shows one")
    file_values = read_toml(source) if isinstance(source, Path) else source
    formats.refuse_newer("the file", file_values.get("format", 1), formats.TRAINING, str(settings_path))
    return parse_config(settings_class, file_values, where=str(settings_path))


def resolve_checkpoint(settings_path: Path, checkpoint: str) -> str:
    """A checkpoint that a file names: a folder relative to the file's own, where there is one, else an id on the Hub."""
    is_folder = checkpoint.startswith(".") or (settings_path.parent / checkpoint).is_dir()
    return resolve_location(settings_path, checkpoint) if is_folder else checkpoint


def resolve_location(settings_path: Path, location: str) -> str:
    """A location that a file names: an address as it is, a folder relative to the file's own."""
    return location if "://" in location else str((settings_path.parent / location).absolute())
