"""A rollout as training takes it: the very tokens that the policy wrote, with their log-probabilities, and the frames it
was shown."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

from dmforge.generators.footage import Footage, show
from dmforge.generators.rollout import Rolled
from dmforge.generators.student.layout import Laid, Layout, Stretch
from dmforge.generators.student.positions import following


def retrace(rolled: Rolled, footage: Footage, layout: Layout) -> Laid:
    """Not what its text would be made into today: another tokenization of the same words is another action."""
    return layout.join(_as_written(rolled, layout.stretches(show(rolled.transcript.pieces, footage))))


def retrace_behind(prompt: Laid, rolled: Rolled, footage: Footage, layout: Layout) -> Laid:
    """The same without its prompt, which is laid out once for all rollouts of it; positions go on behind it."""
    pieces = [piece for piece in rolled.transcript.pieces if piece.author != "prompt"]
    first = following(prompt.positions, 0)
    return layout.join(_as_written(rolled, layout.stretches(show(pieces, footage))), first)


def _as_written(rolled: Rolled, stretches: Iterable[Stretch]) -> Iterator[Stretch]:
    written = iter(rolled.written)
    return (Stretch(s.author, np.array(next(written).ids)) if s.author == "policy" else s for s in stretches)


def log_probs(rolled: Rolled) -> NDArray[np.float64]:
    """Of every trained token of `retrace`, in their order."""
    return np.array([log_prob for words in rolled.written for log_prob in words.log_probs])
