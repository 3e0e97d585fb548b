"""Checks before the first rollout: prompts must fit, and some samples must say where to look."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from dmforge.curation.shards.corpus import Corpus
from dmforge.generators.inference.engines.vllm_engine import require_vllm
from dmforge.generators.student.vocabulary import Vocabulary
from dmforge.schemas.clips import Clips
from dmforge.schemas.errors import InputError
from dmforge.schemas.sizes import clip_tokens
from dmforge.trainers.sdgrpo.sdgrpo_settings import ColocatedSettings, SdgrpoSettings
from dmforge.trainers.training_checks import open_corpora, require_sound, require_task

MAX_STAMP_TOKENS = 24
"""The most tokens of one stamp with its markers."""


def open_rl_corpora(settings: SdgrpoSettings) -> list[Corpus]:
    """Open the corpora, after checking that their longest rollouts fit into a forward and into the engine."""
    if isinstance(settings.engine, ColocatedSettings):
        require_vllm()
    corpora = open_corpora(settings.data, require_task)
    require_rollout_room(settings, corpora)
    return corpora


def require_rollout_room(settings: SdgrpoSettings, corpora: Sequence[Corpus], vocabulary: Vocabulary | None = None) -> None:
    """Raise unless a forward, and a row of an engine beside, has room for the longest rollout; with a vocabulary what its
    dialect has before a prompt and around each clip is counted, too."""
    vllm_settings = settings.engine if isinstance(settings.engine, ColocatedSettings) else None
    turn_tokens, function_tokens = (vocabulary.turn_tokens, vocabulary.function_tokens) if vocabulary else (0, 0)
    for corpus in corpora:
        costliest_index = int(np.argmax(corpus.costs))
        rollout_tokens = int(corpus.costs[costliest_index]) + function_tokens + settings.rollout.max_tokens
        rollout_tokens += settings.rollout.max_looks * (max_look_tokens(corpus.clips) + turn_tokens)
        if rollout_tokens > settings.training.max_tokens:
            budget_message = f"a rollout may have {rollout_tokens} tokens, and a forward {settings.training.max_tokens}"
            hint = "raise [training] max_tokens, lower [rollout] max_tokens, or pack with clips that cost less"
            raise InputError(budget_message, where=f"{corpus.place}: {corpus[costliest_index].sample.id}", hint=hint)
        if vllm_settings and rollout_tokens > vllm_settings.max_model_len:
            budget_message = (
                f"a rollout may have {rollout_tokens} tokens, and a row of the engine {vllm_settings.max_model_len}"
            )
            hint = "raise [engine] max_model_len, lower [rollout] max_tokens, or pack with clips that cost less"
            raise InputError(budget_message, where=f"{corpus.place}: {corpus[costliest_index].sample.id}", hint=hint)


def require_targets(settings: SdgrpoSettings, corpora: Sequence[Corpus]) -> None:
    """Require undamaged shards, coarse clips within the budget, and some sample with a target."""
    require_sound(corpora, require_task)
    max_visual_tokens = settings.rollout.max_visual_tokens
    has_target = False
    for corpus in corpora:
        for packed_video in corpus.videos():
            video_record = packed_video.video.as_record()
            coarse_tokens = clip_tokens(len(corpus.clips.coarse(video_record).times_s), corpus.clips.coarse_size(video_record))
            if coarse_tokens > max_visual_tokens:
                hint = f"raise [rollout] max_visual_tokens above {coarse_tokens}"
                raise InputError(
                    f"a coarse clip of {coarse_tokens} tokens is over the budget of {max_visual_tokens}",
                    where=packed_video.where,
                    hint=hint,
                )
            has_target = has_target or any(sample.target or sample.windows for sample in packed_video.samples)
    if not has_target:
        hint = "import tasks with windows or targets (docs/sources.md), select and pack them"
        raise InputError("no sample has a target: nothing says where to look", where=corpora[0].place, hint=hint)


def max_look_tokens(clips: Clips) -> int:
    return clips.look_tokens + MAX_STAMP_TOKENS * (clips.look_frames // 2)
