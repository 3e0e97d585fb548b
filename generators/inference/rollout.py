"""Rollouts over any engine: decode to `</fps>`, cut the clip, inject it, decode on.

Each row goes on until it looks or ends. The engine decides whether rows that look wait for each other: one that keeps
its caches here puts their clips through the model together, one that serves goes on with each as it comes. Whatever a policy
writes has an ending, and never raises.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from dmforge.generators.footage import Footage, PromptPiece, ShownClip, show
from dmforge.generators.inference.engines.engine import Engine, FailedRow, GeneratedText, Sampling
from dmforge.schemas.clips import QuotaTooSmall
from dmforge.schemas.errors import DmforgeError
from dmforge.schemas.frames import NoFrames
from dmforge.schemas.grammar import Trajectory, parse, written_look
from dmforge.schemas.looks import Look
from dmforge.schemas.tags import CLOSE, OPEN
from dmforge.schemas.transcript import Piece, Transcript

Ending = Literal["answered", "no_look", "malformed_look", "window_outside", "over_budget", "malformed", "cut_off"]
"""`answered`: well-formed, with a look. `no_look`: well-formed without one. `malformed_look`: nothing can be cut by what it
wrote. `window_outside`: the window begins after the end of the video. `over_budget`: the clip would cost too much.
`malformed`: it ended its turn, but with something else than a trajectory. `cut_off`: it had no tokens left."""


@dataclass(frozen=True, slots=True)
class RolloutLimits:
    """The most looks and visual tokens that a trajectory may have."""

    max_looks: int = 1
    max_visual_tokens: int = 1 << 20
    """Of all clips that are shown, the coarse one included."""


@dataclass(frozen=True, slots=True)
class RolloutRequest:
    """A request for one rollout: continue a prompt, or continue behind a look that is forced on the policy."""

    prompt: tuple[PromptPiece, ...]
    """Several rollouts that are given the very same tuple share its way through the model."""
    footage: Footage
    sampling: Sampling = field(default_factory=Sampling)
    forced: Look | None = None
    thought: str = ""
    """The thought that stands before a forced look."""
    opening: str = ""
    """A text that is written for the policy before it goes on, instead of a look."""


@dataclass(frozen=True, slots=True)
class RolloutResult:
    """The result of a rollout."""

    transcript: Transcript
    ending: Ending
    trajectory: Trajectory | None
    """If it is well-formed."""
    looks: tuple[Look, ...]
    """Those whose clips were shown."""
    written: tuple[GeneratedText, ...]
    """The policy's tokens: one item for each piece of the transcript that the policy wrote."""
    visual_tokens: int

    @property
    def answer(self) -> str:
        return self.trajectory.answer if self.trajectory else ""


class RolloutError(DmforgeError):
    """The engine died over some requests each time that it met them. The results of all the others are in `rolled`."""

    def __init__(self, failed_by_index: Mapping[int, FailedRow], result_by_index: Mapping[int, RolloutResult]) -> None:
        first_failure = next(iter(failed_by_index.values()))
        hint = "leave these out, or give the engine more memory: fewer rows, less context"
        row_count = len(failed_by_index) + len(result_by_index)
        super().__init__(
            f"the engine died over {len(failed_by_index)} of {row_count} rows: {first_failure.detail}",
            hint=hint,
        )
        self.failed, self.rolled = failed_by_index, result_by_index


@dataclass(slots=True)
class _Row:
    request: RolloutRequest
    pieces: list[Piece]
    visual_tokens: int
    looks: list[Look] = field(default_factory=list[Look])
    written: list[GeneratedText] = field(default_factory=list[GeneratedText])
    ending: Ending | None = None
    failed: FailedRow | None = None

    @property
    def text(self) -> str:
        return Transcript(tuple(self.pieces)).trajectory_text


def roll(engine: Engine, requests: Sequence[RolloutRequest], limits: RolloutLimits | None = None) -> list[RolloutResult]:
    """Roll out all requests side by side, until each has ended. Raises `RolloutError` if the engine died over some of them."""
    limits = limits or RolloutLimits()
    rollout_rows = [_begin_row(request) for request in requests]
    conversation = engine.converse([request.sampling for request in requests])
    pieces_by_row, rows_at_work = _openings(rollout_rows, limits), set[int]()
    while pieces_by_row or rows_at_work:
        rows_at_work |= pieces_by_row.keys()
        may_look = {row_index for row_index in pieces_by_row if len(rollout_rows[row_index].looks) < limits.max_looks}
        output_by_row = conversation.step(pieces_by_row, may_look)
        rows_at_work -= output_by_row.keys()
        pieces_by_row = _take_outputs(rollout_rows, output_by_row, limits)
    failed_by_row = {row_index: rollout_row.failed for row_index, rollout_row in enumerate(rollout_rows) if rollout_row.failed}
    if failed_by_row:
        raise RolloutError(
            failed_by_row,
            {
                row_index: _result(rollout_row, limits)
                for row_index, rollout_row in enumerate(rollout_rows)
                if row_index not in failed_by_row
            },
        )
    return [_result(rollout_row, limits) for rollout_row in rollout_rows]


def prompt_of(pieces: Sequence[Piece], footage: Footage) -> tuple[PromptPiece, ...]:
    """A prompt with its frames, to be shared by all rollouts of it."""
    return show(pieces, footage)


def _begin_row(request: RolloutRequest) -> _Row:
    prompt_pieces = [shown_piece.piece for shown_piece in request.prompt]
    return _Row(request, prompt_pieces, sum(shown_piece.clip.tokens for shown_piece in request.prompt if shown_piece.clip))


def _openings(rows: Sequence[_Row], limits: RolloutLimits) -> dict[int, Sequence[PromptPiece]]:
    """The pieces that each row begins with, by row index."""
    pieces_by_row: dict[int, Sequence[PromptPiece]] = {}
    for row_index, rollout_row in enumerate(rows):
        if rollout_row.visual_tokens > limits.max_visual_tokens:
            rollout_row.ending = "over_budget"
        elif rollout_row.request.opening:
            rollout_row.pieces.append(Piece("runtime", rollout_row.request.opening))
            pieces_by_row[row_index] = (*rollout_row.request.prompt, PromptPiece(rollout_row.pieces[-1]))
        elif rollout_row.request.forced is None:
            pieces_by_row[row_index] = rollout_row.request.prompt
        else:
            forced_look, thought = rollout_row.request.forced, rollout_row.request.thought
            rollout_row.pieces.append(Piece("runtime", f"{OPEN['think']}{thought}{written_look(forced_look)}"))
            clip_piece = _cut(rollout_row, forced_look, limits)
            if clip_piece is not None:
                pieces_by_row[row_index] = (*rollout_row.request.prompt, PromptPiece(rollout_row.pieces[-2]), clip_piece)
    return pieces_by_row


def _take_outputs(
    rows: Sequence[_Row], output_by_row: Mapping[int, GeneratedText | FailedRow], limits: RolloutLimits
) -> dict[int, Sequence[PromptPiece]]:
    """Record what the policy wrote in each row; return the clips that rows asked for, by row index."""
    pieces_by_row: dict[int, Sequence[PromptPiece]] = {}
    for row_index, written_output in output_by_row.items():
        rollout_row = rows[row_index]
        if isinstance(written_output, FailedRow):
            rollout_row.failed = written_output
            continue
        rollout_row.written.append(written_output)
        rollout_row.pieces.append(Piece("policy", written_output.text))
        if written_output.stop == "length":
            rollout_row.ending = "cut_off"
        elif written_output.stop == "look":
            look = look_of(rollout_row.text, len(rollout_row.looks) + 1)
            if look is None:
                rollout_row.ending = "malformed_look"
                continue
            clip_piece = _cut(rollout_row, look, limits)
            if clip_piece is not None:
                pieces_by_row[row_index] = (clip_piece,)
    return pieces_by_row


def look_of(text: str, look_count: int = 1) -> Look | None:
    """The look that a text ends with, if the text can still become a well-formed trajectory."""
    completed_text = f"{text}{CLOSE['think']}{OPEN['answer']}-{CLOSE['answer']}"
    parsed_trajectory = parse(completed_text, max_looks=look_count)
    return (
        parsed_trajectory.looks[-1]
        if isinstance(parsed_trajectory, Trajectory) and len(parsed_trajectory.looks) == look_count
        else None
    )


def _cut(row: _Row, look: Look, limits: RolloutLimits) -> PromptPiece | None:
    """Cut the clip of a look and add it to its row. Where that can't be, None, and the row gets its ending."""
    try:
        clip: ShownClip = row.request.footage.look(look)
    except NoFrames:
        row.ending = "window_outside"
        return None
    except QuotaTooSmall:
        row.ending = "malformed_look"
        return None
    if row.visual_tokens + clip.tokens > limits.max_visual_tokens:
        row.ending = "over_budget"
        return None
    row.visual_tokens += clip.tokens
    row.looks.append(look)
    row.pieces.append(Piece("runtime", look=look))
    return PromptPiece(row.pieces[-1], clip)


def _result(row: _Row, limits: RolloutLimits) -> RolloutResult:
    trajectory_or_defects = parse(row.text, limits.max_looks) if row.ending is None else ()
    trajectory = trajectory_or_defects if isinstance(trajectory_or_defects, Trajectory) else None
    ending = row.ending or ("malformed" if trajectory is None else "answered" if trajectory.looks else "no_look")
    return RolloutResult(
        Transcript(tuple(row.pieces)), ending, trajectory, tuple(row.looks), tuple(row.written), row.visual_tokens
    )
