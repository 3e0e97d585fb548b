"""What must hold before the first step. A training that can't end well is refused while nothing has been spent on it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from dmforge.curation.shards.corpus import Corpus
from dmforge.curation.shards.document import ShardSample
from dmforge.curation.shards.verify import require_undamaged
from dmforge.schemas.errors import InputError
from dmforge.trainers.feed import over_budget
from dmforge.trainers.settings import DataSettings, ReadingSettings


def opened(settings: DataSettings, ranks: int) -> list[Corpus]:
    """The corpora of a training by SFT, if all of them can be trained on."""
    corpora = opened_as(settings, cot)
    for corpus in corpora:
        dearest = int(np.argmax(corpus.costs))
        most = settings.most_tokens // ranks
        if corpus.costs[dearest] > most:
            raise over_budget(int(corpus.costs[dearest]), most, f"{corpus.place}: {corpus[dearest].sample.id}")
    return corpora


Kind = Callable[[Corpus, ShardSample], None]
"""Refuses a sample of another kind than a training takes."""


def cot(corpus: Corpus, sample: ShardSample) -> None:
    """Trajectories, up to their answers."""
    if not sample.candidate or sample.transcript.pieces[-1].author != "policy":
        told = f"the corpus {corpus.manifest.corpus!r} holds tasks, not trajectories"
        raise InputError(told, where=corpus.place, mend="SFT reads cot corpora: give one that select_cot selected")


def rl(corpus: Corpus, sample: ShardSample) -> None:
    """Tasks, which end where the policy begins."""
    if sample.candidate or sample.transcript.pieces[-1].author != "prompt":
        told = f"the corpus {corpus.manifest.corpus!r} holds trajectories, not tasks"
        raise InputError(told, where=corpus.place, mend="SD-GRPO reads rl corpora: give one that select_rl selected")


def opened_as(settings: ReadingSettings, kind: Kind) -> list[Corpus]:
    """Corpora of one kind that were cut alike."""
    corpora = [Corpus(corpus.place, settings.clips) for corpus in settings.corpora]
    for corpus in corpora:
        kind(corpus, corpus[0].sample)
        _require_same_clips(corpora[0], corpus)
    return corpora


def require_sound(corpora: Sequence[Corpus], kind: Kind = cot) -> None:
    """Every byte is what was packed, every sample of that kind, and its frames are cut as the corpus says."""
    for corpus in corpora:
        require_undamaged(corpus.place)
        for packed in corpus.videos():
            if packed.video.receipt.clips != corpus.clips.digest.hex():
                mend = "pack the corpus again from a workspace whose renditions were made with these clips"
                raise InputError("its renditions were cut by another frame plan", where=packed.where, mend=mend)
            for sample in packed.samples:
                kind(corpus, sample)


def _require_same_clips(first: Corpus, other: Corpus) -> None:
    if first.clips.digest != other.clips.digest:
        told, mine = other.clips.semantic(), first.clips.semantic()
        differing = ", ".join(sorted(name for name in told if told[name] != mine[name]))
        mend = "pack both with the same [clips]"
        raise InputError(f"its frame plan differs from that of {first.place}: {differing}", where=other.place, mend=mend)
