"""What must hold before the first rollout: prompts that fit, and something that says where to look."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from dmforge.curation.shards.corpus import Corpus
from dmforge.generators.engines.vllm import require_vllm
from dmforge.schemas.clips import Clips
from dmforge.schemas.errors import InputError
from dmforge.schemas.sizes import clip_tokens
from dmforge.trainers.checks import opened_as, require_sound, rl
from dmforge.trainers.sdgrpo_settings import BesideSettings, SdgrpoSettings

STAMP_TOKENS = 24
"""Of one stamp with its markers, at most."""


def opened(settings: SdgrpoSettings) -> list[Corpus]:
    """The corpora, if their longest rollouts fit into a forward, and into whoever writes them."""
    beside = settings.engine if isinstance(settings.engine, BesideSettings) else None
    if beside:
        require_vllm()
    corpora = opened_as(settings.data, rl)
    for corpus in corpora:
        dearest = int(np.argmax(corpus.costs))
        needed = int(corpus.costs[dearest]) + settings.rollout.most_tokens + _most_of_a_look(corpus.clips)
        if needed > settings.training.most_tokens:
            told = f"a rollout may have {needed} tokens, and a forward {settings.training.most_tokens}"
            mend = "raise [training] most_tokens, lower [rollout] most_tokens, or pack with clips that cost less"
            raise InputError(told, where=f"{corpus.place}: {corpus[dearest].sample.id}", mend=mend)
        if beside and needed > beside.context:
            told = f"a rollout may have {needed} tokens, and a row of the engine {beside.context}"
            mend = "raise [engine] context, lower [rollout] most_tokens, or pack with clips that cost less"
            raise InputError(told, where=f"{corpus.place}: {corpus[dearest].sample.id}", mend=mend)
    return corpora


def require_targets(settings: SdgrpoSettings, corpora: Sequence[Corpus]) -> None:
    """Sound shards, in which some sample says where to look, and whose coarse clips may be shown at all."""
    require_sound(corpora, rl)
    most = settings.rollout.most_visual_tokens
    aimed = False
    for corpus in corpora:
        for packed in corpus.videos():
            video = packed.video.as_record()
            tokens = clip_tokens(len(corpus.clips.coarse(video).times_s), corpus.clips.coarse_size(video))
            if tokens > most:
                mend = f"raise [rollout] most_visual_tokens above {tokens}"
                raise InputError(
                    f"a coarse clip of {tokens} tokens is over the budget of {most}", where=packed.where, mend=mend
                )
            aimed = aimed or any(sample.target or sample.windows for sample in packed.samples)
    if not aimed:
        mend = "import tasks with windows or targets (docs/sources.md), select and pack them"
        raise InputError("no sample has a target: nothing says where to look", where=corpora[0].place, mend=mend)


def _most_of_a_look(clips: Clips) -> int:
    return clips.look_tokens + STAMP_TOKENS * (clips.look_frames // 2)
