"""Checks before the first step: a training that can't end well is refused before anything is spent on it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from dmforge.curation.shards.corpus import Corpus
from dmforge.curation.shards.document import ShardSample
from dmforge.curation.shards.integrity import require_undamaged
from dmforge.schemas.dialects.dialect_name import DialectName
from dmforge.schemas.dialects.translation import say_in
from dmforge.schemas.errors import InputError
from dmforge.trainers.dataloading import over_budget_error
from dmforge.trainers.training_settings import DataSettings, ReadingSettings


def open_cot_corpora(settings: DataSettings, rank_count: int) -> list[Corpus]:
    """Open the corpora of a training by SFT, after checking that all of them can be trained on."""
    corpora = open_corpora(settings, require_trajectory)
    require_room(corpora, settings.max_tokens // rank_count)
    return corpora


def require_room(corpora: Sequence[Corpus], max_tokens: int, added_tokens: int = 0) -> None:
    """Raise unless a rank's share of a batch has room for the costliest sample, with tokens that are put before each."""
    for corpus in corpora:
        costliest_index = int(np.argmax(corpus.costs))
        sample_tokens = int(corpus.costs[costliest_index]) + added_tokens
        if sample_tokens > max_tokens:
            raise over_budget_error(sample_tokens, max_tokens, f"{corpus.place}: {corpus[costliest_index].sample.id}")


SampleCheck = Callable[[Corpus, ShardSample], None]
"""Raises for a sample of another kind than a training takes."""


def require_trajectory(corpus: Corpus, sample: ShardSample) -> None:
    """Raise unless a sample is a trajectory up to its answer."""
    if not sample.candidate or sample.transcript.pieces[-1].author != "policy":
        message = f"the corpus {corpus.manifest.corpus!r} holds tasks, not trajectories"
        raise InputError(message, where=corpus.place, hint="SFT reads cot corpora: give one that select_cot selected")


def require_task(corpus: Corpus, sample: ShardSample) -> None:
    """Raise unless a sample is a task, which ends where the policy begins."""
    if sample.candidate or sample.transcript.pieces[-1].author != "prompt":
        message = f"the corpus {corpus.manifest.corpus!r} holds trajectories, not tasks"
        raise InputError(message, where=corpus.place, hint="SD-GRPO reads rl corpora: give one that select_rl selected")


def open_corpora(settings: ReadingSettings, check_sample: SampleCheck) -> list[Corpus]:
    """Open corpora, after checking that they hold samples of one kind and were cut by the same clips."""
    corpora = [Corpus(corpus.place, settings.clips) for corpus in settings.corpora]
    for corpus in corpora:
        check_sample(corpus, corpus[0].sample)
        _require_same_clips(corpora[0], corpus)
    return corpora


def require_sound(corpora: Sequence[Corpus], check_sample: SampleCheck = require_trajectory) -> None:
    """Check that every byte is as packed, every sample of that kind, and every video cut by the clips of its corpus."""
    for corpus in corpora:
        require_undamaged(corpus.place)
        for packed_video in corpus.videos():
            if packed_video.video.receipt.clips != corpus.clips.digest_for(packed_video.video.as_record()).hex():
                hint = "pack the corpus again from a workspace whose renditions were made with these clips"
                raise InputError("its renditions were cut by another frame plan", where=packed_video.where, hint=hint)
            for sample in packed_video.samples:
                check_sample(corpus, sample)


def require_sayable(corpora: Sequence[Corpus], dialect: DialectName) -> None:
    """Check that the dialect can say every sample, whichever it was written in."""
    for corpus in corpora:
        for packed in corpus.videos():
            for sample in packed.samples:
                say_in(dialect, sample.transcript, f"{packed.where}: {sample.id}")


def _require_same_clips(first_corpus: Corpus, other_corpus: Corpus) -> None:
    if first_corpus.clips.digest != other_corpus.clips.digest:
        other_clips, first_clips = other_corpus.clips.semantic(), first_corpus.clips.semantic()
        differing_settings = ", ".join(
            sorted(setting_name for setting_name in other_clips if other_clips[setting_name] != first_clips[setting_name])
        )
        hint = "pack both with the same [clips]"
        raise InputError(
            f"its frame plan differs from that of {first_corpus.place}: {differing_settings}",
            where=other_corpus.place,
            hint=hint,
        )
