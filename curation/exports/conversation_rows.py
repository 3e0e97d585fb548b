"""Shared parts of the exports: a trajectory as a user's and an assistant's turn in `span`, and what formats refuse."""

from __future__ import annotations

from fractions import Fraction

from dmforge.curation.shards.document import ShardSample, has_limits
from dmforge.schemas.dialects.translation import say_in
from dmforge.schemas.errors import InputError
from dmforge.schemas.looks import Look

VIDEO_MARK = "<video>"
"""Stands for a clip in a text."""


def user_text(sample: ShardSample) -> str:
    """The user's turn of a sample: its prompt, the coarse clip first."""
    prompt_pieces = [prompt_piece for prompt_piece in sample.transcript.pieces if prompt_piece.author == "prompt"]
    return "\n".join(VIDEO_MARK if prompt_piece.text is None else prompt_piece.text for prompt_piece in prompt_pieces)


def assistant_text(sample: ShardSample) -> str:
    """The assistant's only turn of a sample in `span`: what the policy wrote, with a mark where the look's clip was shown. What
    can't be said in it is refused."""
    pieces = [piece for piece in say_in("span", sample.transcript, sample.id).pieces if piece.author != "prompt"]
    return "".join(f"{VIDEO_MARK}\n" if piece.text is None else piece.text for piece in pieces)


def looks_of(sample: ShardSample) -> list[Look]:
    """The looks of a sample whose clips were shown, in the order of its transcript."""
    return [piece.look for piece in sample.transcript.pieces if piece.look is not None]


def refuse_limits(sample: ShardSample, form: str) -> None:
    """Refuse a sample whose look has a box or a token quota, in a format whose trainers would cut its clip without them."""
    if has_limits(sample):
        message = f"{form} has no place for the box or the token quota of a look: its trainers would show another clip"
        hint = "export --to a format whose clips are cut here, or --to hf (docs/formats.md)"
        raise InputError(message, where=sample.id, hint=hint)


def refuse_target_sets(sample: ShardSample, form: str) -> None:
    """Refuse a sample whose target has several looks, in a format whose rewards would know the first alone."""
    if sample.further_targets:
        message = f"{form} has one window and one density a row, and this target has {len(sample.target_looks)} looks"
        hint = "export --to trl or --to hf, which have all of them; or select with [stages.select_rl] max_looks = 1"
        raise InputError(message, where=sample.id, hint=hint)


def density_json(fps: Fraction) -> int | float:
    """A density as a JSON number: 2, 0.5."""
    return fps.numerator if fps.denominator == 1 else float(fps)
