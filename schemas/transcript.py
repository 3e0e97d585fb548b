"""A transcript says who wrote every piece of a trajectory; masks, segments and exports are derived from it and only from it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from dmforge.schemas.looks import Look

Author = Literal["prompt", "policy", "runtime"]
Segment = Literal["sampling", "reasoning"]


@dataclass(frozen=True, slots=True)
class Piece:
    """Text, or a clip where `text` is None: the V1 clip of `look`, or the coarse V0 clip if there is no look."""

    author: Author
    """Who put it there."""
    text: str | None = None
    """Verbatim, tags included; none for a clip."""
    look: Look | None = None
    """The look that a clip answers; none for text, and for the coarse clip."""

    def __post_init__(self) -> None:
        if self.text is not None and self.look is not None:
            raise ValueError("a piece is text or a clip, not both")
        # who may show what: V0 belongs to the prompt, V1 to the runtime, and a policy writes no pixels
        if self.is_clip and self.author != ("prompt" if self.look is None else "runtime"):
            clip_name = "the coarse clip" if self.look is None else "the clip of a look"
            raise ValueError(f"{clip_name} can't come from the {self.author}")

    @property
    def is_clip(self) -> bool:
        return self.text is None

    @property
    def is_trained(self) -> bool:
        """Whether it is trained on: only what the policy wrote is, neither the prompt nor what the runtime injects."""
        return self.author == "policy"


COARSE = Piece("prompt")
"""The V0 clip."""


@dataclass(frozen=True, slots=True)
class Transcript:
    """The pieces in the order in which they stand in the context; policy text is verbatim, tags included."""

    pieces: tuple[Piece, ...]
    """In the order in which they stand in the context."""

    def segments(self) -> tuple[Segment | None, ...]:
        """The segment of each piece: `sampling` for policy text before the first injected clip, up to and including `</fps>`;
        `reasoning` for policy text after it; None for what isn't trained on.

        Where nothing was injected (no look, malformed, cut off) all policy text is `sampling`: it never saw a V1 clip.
        """
        segment_by_piece: list[Segment | None] = []
        clip_segment: Segment = "sampling"
        for piece in self.pieces:
            if piece.look is not None:
                clip_segment = "reasoning"
            segment_by_piece.append(clip_segment if piece.is_trained else None)
        return tuple(segment_by_piece)

    @property
    def policy_text(self) -> str:
        """Everything the policy wrote, and nothing else."""
        return "".join(piece.text for piece in self.pieces if piece.text is not None and piece.author == "policy")

    @property
    def trajectory_text(self) -> str:
        """The text after the prompt: the policy's, and in a forced rollout also the look that the runtime wrote for it."""
        return "".join(piece.text for piece in self.pieces if piece.text is not None and piece.author != "prompt")
