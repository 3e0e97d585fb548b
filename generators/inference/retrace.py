"""A rollout as a training example: the very tokens that the policy wrote, their log-probabilities, and the frames that it was
shown."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

from dmforge.generators.footage import Footage, show
from dmforge.generators.inference.rollout import RolloutResult
from dmforge.generators.student.positions import next_position
from dmforge.generators.student.token_layout import LaidOutTranscript, TokenLayout, TokenRun


def retrace(rollout: RolloutResult, footage: Footage, layout: TokenLayout) -> LaidOutTranscript:
    """Lay out a rollout by the tokens that were written, not by its text: another tokenization of it is another action."""
    return layout.join(_with_written_tokens(rollout, layout.stretches(show(rollout.transcript.pieces, footage))))


def retrace_behind(
    prompt: LaidOutTranscript, rollout: RolloutResult, footage: Footage, layout: TokenLayout
) -> LaidOutTranscript:
    """Lay out a rollout without its prompt, which is laid out once for all its rollouts; positions go on behind it."""
    answer_pieces = [piece for piece in rollout.transcript.pieces if piece.author != "prompt"]
    first_position = next_position(prompt.positions, 0)
    return layout.join(_with_written_tokens(rollout, layout.stretches(show(answer_pieces, footage))), first_position)


def _with_written_tokens(rollout: RolloutResult, stretches: Iterable[TokenRun]) -> Iterator[TokenRun]:
    written_segments = iter(rollout.written)
    return (
        TokenRun(stretch.author, np.array(next(written_segments).kept_ids)) if stretch.author == "policy" else stretch
        for stretch in stretches
    )


def log_probs(rollout: RolloutResult) -> NDArray[np.float64]:
    """Log-probabilities of the policy's tokens, in the order of `retrace`."""
    kept_log_probs = (text.log_probs[: len(text.kept_ids)] for text in rollout.written)
    return np.array([log_prob for log_probs_of_text in kept_log_probs for log_prob in log_probs_of_text])
