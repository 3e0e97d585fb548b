"""How much goes through the model in one forward of a training, and how long the rows of its rollouts are.

Some samples, spread evenly over the corpora, are laid out with their frames; a forward is as full as the settings allow, and
made up like these.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from dmforge.curation.shards.corpus import Corpus
from dmforge.generators.student.patchify import MERGE
from dmforge.generators.student.token_layout import TokenLayout
from dmforge.trainers.dataloading import TrainingCollator
from dmforge.trainers.memory.fake_student import RowSize
from dmforge.trainers.sdgrpo.sdgrpo_checks import max_look_tokens
from dmforge.trainers.sdgrpo.sdgrpo_settings import SdgrpoSettings
from dmforge.trainers.training_settings import SftSettings

SAMPLES = 8
"""Samples of each corpus that are laid out."""


@dataclass(frozen=True, slots=True)
class RolloutSize:
    """The rows of rollouts that are in memory at once."""

    rows: int
    tokens: int
    """Of each row."""


def sft_row(settings: SftSettings, corpora: Sequence[Corpus], layout: TokenLayout, ranks: int) -> RowSize:
    """A rank's fullest forward."""
    samples = _laid_out(corpora, layout, settings)
    tokens = sum(sample.tokens for sample in samples)
    longest = max(sample.tokens for sample in samples)
    row_tokens = min(settings.data.max_tokens // ranks, -(-settings.data.max_samples // ranks) * longest)
    patches, learnt = (sum(getattr(sample, part) for sample in samples) for part in ("patches", "learnt"))
    forwards = settings.training.accumulation
    return RowSize(row_tokens, row_tokens * patches // tokens, row_tokens * learnt // tokens, forwards)


def sdgrpo_sizes(
    settings: SdgrpoSettings, corpora: Sequence[Corpus], layout: TokenLayout, ranks: int
) -> tuple[RowSize, RolloutSize]:
    """A rank's fullest forward, of whole groups, each a prompt with a branch for each rollout; and the rows that it rolls out
    in one batch, each as long as it may become."""
    rollout, prompts = settings.rollout, -(-settings.data.prompts // ranks)
    prompt = max(_laid_out(corpora, layout, settings), key=lambda sample: sample.tokens)
    look_tokens = max(max_look_tokens(corpus.clips) for corpus in corpora) + layout.vocabulary.turn_tokens
    branch_tokens = rollout.max_tokens + rollout.max_looks * look_tokens
    group_tokens = prompt.tokens + rollout.group * branch_tokens
    groups = min(prompts, max(1, settings.training.max_tokens // group_tokens))
    look_patches = rollout.max_looks * MERGE**2 * max(corpus.clips.look_tokens for corpus in corpora)
    row = RowSize(
        groups * group_tokens,
        groups * (prompt.patches + rollout.group * look_patches),
        groups * rollout.group * rollout.max_tokens,
        -(-prompts // groups),
    )
    return row, RolloutSize(min(prompts, rollout.max_rows) * rollout.group, prompt.tokens + branch_tokens)


def _laid_out(corpora: Sequence[Corpus], layout: TokenLayout, settings: SftSettings | SdgrpoSettings) -> list[RowSize]:
    """The sizes of some samples by themselves."""
    sizes: list[RowSize] = []
    for corpus in corpora:
        collate = TrainingCollator(layout, corpus.clips, "packed", 1 << 62, settings.model.dialect)
        for sequence in map(collate.lay_out, corpus.read(corpus.spread(SAMPLES))):
            sizes.append(RowSize(len(sequence), len(sequence.patches), int(sequence.trained[1:].sum())))
    return sizes
