"""What must hold before the first step. A training that can't end well is refused while nothing has been spent on it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from dmforge.curation.shards.corpus import Corpus
from dmforge.curation.shards.verify import verify
from dmforge.schemas.clips import Clips
from dmforge.schemas.errors import InputError, LakeError
from dmforge.trainers.feed import over_budget
from dmforge.trainers.settings import DataSettings


def opened(settings: DataSettings, ranks: int) -> list[Corpus]:
    """The corpora of a training, if all of them can be trained on."""
    corpora = [_opened(corpus.place, settings.clips) for corpus in settings.corpora]
    for corpus in corpora:
        _require_same_clips(corpora[0], corpus)
        _require_budget(corpus, settings.most_tokens // ranks)
    return corpora


def require_sound(corpora: Sequence[Corpus]) -> None:
    """Every byte is what was packed, and every sample a trajectory whose frames are cut as the corpus says."""
    for corpus in corpora:
        found = verify(corpus.place)
        if found.defects:
            first = found.defects[0]
            where = f"{first.shard}: {first.key or '-'} at {first.offset}"
            told = f"{len(found.defects)} defects; the first: {where}: {first.reason}"
            raise LakeError(told, where=corpus.place, mend=f"dmforge verify {corpus.place} names all; fetch or pack it again")
        for packed in corpus.videos():
            if packed.video.receipt.clips != corpus.clips.digest.hex():
                mend = "pack the corpus again from a workspace whose renditions were made with these clips"
                raise InputError("its renditions were cut by another frame plan", where=packed.where, mend=mend)
            if any(sample.transcript.pieces[-1].author != "policy" for sample in packed.samples):
                raise _not_cot(corpus)


def _opened(place: str, clips: Clips | None) -> Corpus:
    corpus = Corpus(place, clips)
    if not corpus[0].sample.candidate:
        raise _not_cot(corpus)
    return corpus


def _not_cot(corpus: Corpus) -> InputError:
    told = f"the corpus {corpus.manifest.corpus!r} holds tasks, not trajectories"
    return InputError(told, where=corpus.place, mend="SFT reads cot corpora: give one that select_cot selected")


def _require_same_clips(first: Corpus, other: Corpus) -> None:
    if first.clips.digest != other.clips.digest:
        told, mine = other.clips.semantic(), first.clips.semantic()
        differing = ", ".join(sorted(name for name in told if told[name] != mine[name]))
        mend = "pack both with the same [clips]"
        raise InputError(f"its frame plan differs from that of {first.place}: {differing}", where=other.place, mend=mend)


def _require_budget(corpus: Corpus, most: int) -> None:
    dearest = int(np.argmax(corpus.costs))
    if corpus.costs[dearest] > most:
        raise over_budget(int(corpus.costs[dearest]), most, f"{corpus.place}: {corpus[dearest].sample.id}")
