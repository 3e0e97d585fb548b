"""What each rank of a training needs of its device's memory, and what would need less, before any weight is loaded.

    weights     all of them, in the type of [model] weights; adapters beside them in float32
    gradients   of what learns, in the type of its weights; with several ranks once more, in buckets that they share
    optimizer   two means of each gradient (AdamW), or a row and a column of squares for each matrix (Adafactor)
    reference   a second student, where SD-GRPO measures a divergence from it; with adapters there is none
    gathered    with FSDP2: what is whole at a time of what else is spread over ranks, in the type of computing
    kept        what a forward keeps for its backward pass (fake_student.py), for the fullest row that the settings allow
    rollouts    keys and values of the rows that are rolled out at once

Gradients come as what was kept goes; so of both the larger one counts, unless gradients stay from one forward of an update to
the next, or for other ranks. Rollouts are over when an update begins; with FSDP2 all weights are gathered for them.

    peak = weights + reference + optimizer + max(update + gathered, rollouts + all gathered)

What the device's driver, its libraries and the gaps between blocks of memory take comes on top.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from transformers import AutoModelForImageTextToText

from dmforge.curation.io.command_result import Block, CommandResult, TextTable
from dmforge.curation.shards.corpus import Corpus
from dmforge.generators.student.checkpoint_files import is_adapted
from dmforge.generators.student.families import DENSE
from dmforge.generators.student.load_student import Student, describe
from dmforge.generators.student.tiny import SHAPES, make_config
from dmforge.generators.student.token_layout import TokenLayout
from dmforge.generators.student.vocabulary import Vocabulary
from dmforge.schemas.errors import InputError
from dmforge.trainers.memory.fake_student import RowSize, kept_bytes
from dmforge.trainers.memory.row_sizes import RolloutSize, sdgrpo_sizes, sft_row
from dmforge.trainers.model_setup import make_student, prepare_student
from dmforge.trainers.sdgrpo.sdgrpo_checks import open_rl_corpora
from dmforge.trainers.sdgrpo.sdgrpo_settings import ColocatedSettings, SdgrpoSettings
from dmforge.trainers.sharding import units_of
from dmforge.trainers.training_checks import open_cot_corpora
from dmforge.trainers.training_settings import Adapters, SftSettings

GB, MB = 1 << 30, 1 << 20
AS_THEY_ARE = "as they are"
ADAPTERS, SHARDED = "[model.adapters]", 'shard = "fsdp2"'
CHANGES: Mapping[str, Mapping[str, Any]] = {
    "gradient_checkpointing = true": {"training": {"gradient_checkpointing": True}},
    'weights = "bfloat16"': {"model": {"weights": "bfloat16"}},
    ADAPTERS: {"model": {"adapters": Adapters()}},
}
"""Settings that need less, tried one by one and all together."""
ALONE: Mapping[str, Mapping[str, Any]] = {
    'optimizer = "adafactor"': {"training": {"optimizer": "adafactor"}},
    SHARDED: {"training": {"shard": "fsdp2"}},
}
"""Such as don't go with adapters."""


@dataclass(frozen=True, slots=True)
class MemoryNeed:
    """Bytes of one rank, by what they are for."""

    weights: int
    gradients: int
    optimizer: int
    reference: int
    gathered: int
    kept: int
    rollouts: int
    peak: int


@dataclass(frozen=True, slots=True)
class MemoryPlan(CommandResult):
    """The needs of a training as it is set up, and with settings that need less."""

    ranks: int
    row: RowSize
    needs: Mapping[str, MemoryNeed]
    device_bytes: int = 0
    """The memory of this machine's GPU; 0 where there is none."""

    def as_json(self) -> dict[str, Any]:
        needs = {name: asdict(need) for name, need in self.needs.items()}
        return {"metrics": {"ranks": self.ranks, "row": asdict(self.row), "bytes": needs}}

    def blocks(self) -> Iterator[Block]:
        ranks = "one process" if self.ranks == 1 else f"each of {self.ranks} processes"
        row, (unit, unit_bytes) = self.row, self._unit
        yield f"{ranks}, a forward of {row.tokens:,} tokens, {row.patches:,} patches, {row.learnt:,} learnt tokens; {unit}:"
        columns = ["settings", "weights", "gradients", "optimizer", "reference", "gathered", "kept", "rollouts", "peak"]
        sizes = {name: [f"{size / unit_bytes:,.1f}" for size in asdict(need).values()] for name, need in self.needs.items()}
        yield TextTable(columns, [[name, *cells] for name, cells in sizes.items()])
        if self.device_bytes:
            yield f"this machine's GPU has {self.device_bytes / GB:.1f} GB"

    @property
    def _unit(self) -> tuple[str, int]:
        return ("GB", GB) if self.needs[AS_THEY_ARE].peak >= GB else ("MB", MB)


def plan_memory(settings: SftSettings | SdgrpoSettings, ranks: int) -> MemoryPlan:
    """The plan of a training by so many ranks."""
    rollouts = RolloutSize(0, 0)
    if isinstance(settings, SftSettings):
        corpora = open_cot_corpora(settings.data, ranks)
        config, vocabulary = _described(settings, corpora)
        row = sft_row(settings, corpora, TokenLayout(vocabulary), ranks)
    else:
        corpora = open_rl_corpora(settings)
        config, vocabulary = _described(settings, corpora)
        row, rollouts = sdgrpo_sizes(settings, corpora, TokenLayout(vocabulary), ranks)
        if isinstance(settings.engine, ColocatedSettings):  # vLLM has memory of its own
            rollouts = RolloutSize(0, 0)
    if config.model_type != DENSE:
        hint = "experts and gated delta layers aren't counted yet; train some steps on the device, and look"
        where = settings.model.checkpoint or settings.model.from_config
        raise InputError(f"what a {config.model_type} keeps of a forward is not known here", where=where, hint=hint)
    estimate = MemoryEstimate(config, vocabulary, row, rollouts, ranks)
    needs = {name: estimate.need(variant) for name, variant in _variants(settings, ranks).items()}
    device_bytes = torch.cuda.get_device_properties(0).total_memory if torch.cuda.is_available() else 0
    return MemoryPlan(ranks, row, needs, device_bytes)


def _described(settings: SftSettings | SdgrpoSettings, corpora: Sequence[Corpus]) -> tuple[Any, Vocabulary]:
    """Configuration and vocabulary of the student; one from scratch is small enough to be made."""
    if settings.model.from_config:
        vocabulary = make_student(settings.model, corpora, settings.training.seed).vocabulary
        return make_config(SHAPES[settings.model.from_config], vocabulary), vocabulary
    return describe(settings.model.checkpoint, settings.model.dialect, add_missing_tags=settings.model.add_tags)


def _variants(settings: SftSettings | SdgrpoSettings, ranks: int) -> dict[str, SftSettings | SdgrpoSettings]:
    """The settings, and such with less need that they don't have yet."""
    variants = {AS_THEY_ARE: settings}
    together = settings
    for name, change in CHANGES.items():
        changed = _changed(settings, change)
        if changed.semantic() == settings.semantic() or (name == ADAPTERS and not _may_have_adapters(settings)):
            continue
        variants[name] = changed
        together = _changed(together, change)
    variants |= {"all of these": together} if len(variants) > 2 else {}
    if not (settings.model.adapters or settings.training.optimizer == "adafactor" or settings.training.shard == "fsdp2"):
        variants |= {name: _changed(settings, change) for name, change in ALONE.items() if name != SHARDED or ranks > 1}
    return variants


def _may_have_adapters(settings: SftSettings | SdgrpoSettings) -> bool:
    """Whether there is a base for them to lie beside, and none there yet."""
    model = settings.model
    return bool(model.checkpoint) and not model.adapters and not is_adapted(model.checkpoint)


def _changed(settings: Any, change: Mapping[str, Any]) -> Any:
    tables = {name: getattr(settings, name).model_copy(update=dict(values)) for name, values in change.items()}
    return settings.model_copy(update=tables)


@dataclass(frozen=True, slots=True)
class MemoryEstimate:
    """What a student of some configuration needs, with forwards and rollouts of some size, by so many ranks."""

    config: Any
    vocabulary: Vocabulary
    row: RowSize
    rollouts: RolloutSize
    ranks: int

    def need(self, settings: SftSettings | SdgrpoSettings) -> MemoryNeed:
        """The need of a training by these settings."""
        dtype, adapters = getattr(torch, settings.model.weights), settings.model.adapters
        with torch.device("meta"):
            empty_model = AutoModelForImageTextToText.from_config(copy.deepcopy(self.config), dtype=dtype)
            where = settings.model.checkpoint or settings.model.from_config
            model = prepare_student(Student(empty_model, self.vocabulary, where), settings.model).model
        spread = self.ranks if settings.training.shard == "fsdp2" else 1
        weights = sum(weight.nbytes for weight in model.parameters())
        trained = sum(weight.nbytes for weight in model.parameters() if weight.requires_grad)
        in_buckets = self.ranks > 1 and spread == 1
        gradients = trained * (2 if in_buckets else 1) // spread
        has_reference = isinstance(settings, SdgrpoSettings) and settings.training.beta > 0 and not adapters
        reference, kept = weights // spread if has_reference else 0, self.kept(settings)
        gathered, all_gathered = _gathered(model, settings) if spread > 1 else (0, 0)
        rollouts = self._keys_and_values(settings)
        optimizer = _optimizer_bytes(model, settings) // spread
        update = max(kept + self._word_rows(settings), gradients + self._kept_last(model, settings))
        if self.ranks > 1 or self.row.forwards > 1:  # they stay
            update = kept + gradients
        peak = weights // spread + reference + optimizer + max(update + gathered, rollouts and rollouts + all_gathered)
        return MemoryNeed(weights // spread, gradients, optimizer, reference, gathered, kept, rollouts, peak)

    def kept(self, settings: SftSettings | SdgrpoSettings) -> int:
        """What a forward keeps for its backward pass."""
        kept = kept_bytes(self.config, self.vocabulary, settings, self.row)
        rest = kept.around + kept.head
        layers, blocks = self.config.text_config.num_hidden_layers, self.config.vision_config.depth
        if settings.training.gradient_checkpointing:  # of one layer at a time what it keeps is there
            return layers * kept.layer_input + blocks * kept.block_input + max(kept.layer, kept.block) + rest
        return layers * kept.layer + blocks * kept.block + rest

    def _kept_last(self, model: Any, settings: SftSettings | SdgrpoSettings) -> int:
        """What a forward has kept of its first layer, less the gradients of that, which come last and take its place."""
        kept = kept_bytes(self.config, self.vocabulary, settings, self.row)
        layer = next(part for name, part in model.named_modules() if name.endswith("language_model.layers.0"))
        return max(0, kept.layer - sum(weight.nbytes for weight in layer.parameters() if weight.requires_grad))

    def _word_rows(self, settings: SftSettings | SdgrpoSettings) -> int:
        """The matrix with a row for each token, or its gradient, which is the first that a backward pass makes."""
        text = self.config.text_config
        return text.vocab_size * text.hidden_size * getattr(torch, settings.model.weights).itemsize

    def _keys_and_values(self, settings: SftSettings | SdgrpoSettings) -> int:
        text = self.config.text_config
        numbers = self.rollouts.rows * self.rollouts.tokens * text.num_hidden_layers * text.num_key_value_heads * text.head_dim
        of_keys = 2 if settings.model.weights == "bfloat16" else 4  # rotated in the type of the weights of norms
        of_values = 2 if settings.training.bf16 or settings.model.weights == "bfloat16" else 4
        return numbers * (of_keys + of_values)


def _optimizer_bytes(model: Any, settings: SftSettings | SdgrpoSettings) -> int:
    trained = [weight for weight in model.parameters() if weight.requires_grad]
    if settings.training.optimizer == "adamw":
        return sum(2 * weight.nbytes for weight in trained)
    factored = sum(
        weight.numel() // weight.shape[-1] + weight.numel() // weight.shape[-2] for weight in trained if weight.ndim > 1
    )
    return 4 * (factored + sum(weight.numel() for weight in trained if weight.ndim < 2))


def _gathered(model: Any, settings: SftSettings | SdgrpoSettings) -> tuple[int, int]:
    """What is whole at a time in an update, and what is in rollouts. Behind the unit that computes the next one is on its way,
    and of the last its gradient goes to its owners, in float32; what stands outside all blocks stays, with its gradient."""
    itemsize = 2 if settings.training.bf16 else getattr(torch, settings.model.weights).itemsize
    *unit_sizes, model_size = (sum(weight.numel() for weight in unit.parameters()) for unit in units_of(model))
    layers = [sum(weight.numel() for weight in layer.parameters()) for layer in model.model.language_model.layers]
    outside = model_size - sum(layers) - sum(weight.numel() for weight in model.model.visual.parameters())
    return 2 * itemsize * (outside + max(unit_sizes)) + 4 * max(unit_sizes), itemsize * model_size
