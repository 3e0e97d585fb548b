"""A rollout as training takes it: the very tokens that the policy wrote, with their log-probabilities, and the frames it
was shown."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from dmforge.generators.footage import Footage, show
from dmforge.generators.rollout import Rolled
from dmforge.generators.student.layout import Laid, Layout, Stretch


def retrace(rolled: Rolled, footage: Footage, layout: Layout) -> Laid:
    """Not what its text would be made into today: another tokenization of the same words is another action."""
    written = iter(rolled.written)
    stretches = layout.stretches(show(rolled.transcript.pieces, footage))
    return layout.join(Stretch(s.author, np.array(next(written).ids)) if s.author == "policy" else s for s in stretches)


def log_probs(rolled: Rolled) -> NDArray[np.float64]:
    """Of every trained token of `retrace`, in their order."""
    return np.array([log_prob for words in rolled.written for log_prob in words.log_probs])
