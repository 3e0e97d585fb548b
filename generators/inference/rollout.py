"""Rollouts over any engine: decode to the end of a look, cut the clip, inject it, decode on.

A look ends as its dialect says: with `</fps>`, or with the turn that it stands in, whose looks are then answered together.

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
from dmforge.generators.inference.forced_steps import BEFORE_A_STEP, BEFORE_THE_ANSWER, MUST_ANSWER, Step, written_step
from dmforge.schemas.clips import QuotaTooSmall
from dmforge.schemas.dialects.dialect import Dialect
from dmforge.schemas.dialects.known_dialects import DIALECTS
from dmforge.schemas.errors import DmforgeError, InputError
from dmforge.schemas.frames import NoFrames
from dmforge.schemas.grammar import Trajectory
from dmforge.schemas.looks import Look, Window
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
    must_answer: bool = False
    """Whether a policy that would look once more than it may has its thought ended, and must answer. Otherwise it goes on, and
    what it writes is malformed."""


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
    steps: tuple[Step, ...] = ()
    """What is forced on the policy one after the other, each when it would look or end its thought."""


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
    look_tokens: tuple[int, ...]
    """The visual tokens of each look."""

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
    dialect: Dialect
    pieces: list[Piece]
    visual_tokens: int
    steps_forced: int = 0
    """That it must answer counts, too."""
    looks: list[Look] = field(default_factory=list[Look])
    look_tokens: list[int] = field(default_factory=list[int])
    written: list[GeneratedText] = field(default_factory=list[GeneratedText])
    ending: Ending | None = None
    failed: FailedRow | None = None

    @property
    def text(self) -> str:
        return Transcript(tuple(self.pieces)).trajectory_text

    @property
    def awaits_density(self) -> bool:
        """Whether a window was forced behind which it is to write a density."""
        return len(self.looks) < self.steps_forced <= len(self.request.steps)


def roll(engine: Engine, requests: Sequence[RolloutRequest], limits: RolloutLimits | None = None) -> list[RolloutResult]:
    """Roll out all requests side by side, until each has ended. Raises `RolloutError` if the engine died over some of them.

    Looks are read, answered and forced in the dialect of the engine's student; an opening is given, a step and an answer are
    forced, in `span` alone.
    """
    limits = limits or RolloutLimits()
    if engine.dialect != "span" and (forced_subject := _forced_subject(requests, limits)):
        hint = "measure a student that writes `span`"
        raise InputError(f"{forced_subject} in the dialect `{engine.dialect}` is not supported", where="dialect", hint=hint)
    rows = [_begin_row(request, DIALECTS[engine.dialect]) for request in requests]
    conversation = engine.converse([request.sampling for request in requests])
    added_pieces, rows_at_work = _openings(rows, limits), set[int]()
    while added_pieces or rows_at_work:
        rows_at_work |= added_pieces.keys()
        may_look = {row_index for row_index in added_pieces if _may_look(rows[row_index], limits)}
        stop_before = {row_index: tags for row_index in added_pieces if (tags := _stop_before(rows[row_index], limits))}
        output_by_row = conversation.step(added_pieces, may_look, stop_before)
        rows_at_work -= output_by_row.keys()
        added_pieces = _take_outputs(rows, output_by_row, limits)
    failed_by_row = {row_index: row.failed for row_index, row in enumerate(rows) if row.failed}
    if failed_by_row:
        raise RolloutError(
            failed_by_row,
            {row_index: _result(row, limits) for row_index, row in enumerate(rows) if row_index not in failed_by_row},
        )
    return [_result(row, limits) for row in rows]


def prompt_of(pieces: Sequence[Piece], footage: Footage) -> tuple[PromptPiece, ...]:
    """A prompt with its frames, to be shared by all rollouts of it."""
    return show(pieces, footage)


def _forced_subject(requests: Sequence[RolloutRequest], limits: RolloutLimits) -> str:
    """What is forced on some policy, in the words of an error; empty where nothing is."""
    if any(request.opening or request.steps for request in requests):
        return "a forced step"
    return "a forced answer" if limits.must_answer else ""


def _begin_row(request: RolloutRequest, dialect: Dialect) -> _Row:
    pieces = [shown_piece.piece for shown_piece in request.prompt]
    return _Row(request, dialect, pieces, sum(shown_piece.clip.tokens for shown_piece in request.prompt if shown_piece.clip))


def _openings(rows: Sequence[_Row], limits: RolloutLimits) -> dict[int, Sequence[PromptPiece]]:
    """The pieces that each row begins with, by row index."""
    added_pieces: dict[int, Sequence[PromptPiece]] = {}
    for row_index, row in enumerate(rows):
        if row.visual_tokens > limits.max_visual_tokens:
            row.ending = "over_budget"
        elif row.request.opening:
            row.pieces.append(Piece("runtime", row.request.opening))
            added_pieces[row_index] = (*row.request.prompt, PromptPiece(row.pieces[-1]))
        elif row.request.forced is None:
            added_pieces[row_index] = row.request.prompt
        else:
            row.pieces.append(Piece("runtime", row.dialect.asking(row.request.thought, row.request.forced)))
            command = PromptPiece(row.pieces[-1])
            clip_pieces = _answer(row, (row.request.forced,), limits)
            if clip_pieces:
                added_pieces[row_index] = (*row.request.prompt, command, *clip_pieces)
    return added_pieces


def _may_look(row: _Row, limits: RolloutLimits) -> bool:
    if row.request.steps:
        return row.awaits_density
    return len(row.looks) < limits.max_looks and not row.dialect.turn_end


def _stop_before(row: _Row, limits: RolloutLimits) -> Sequence[str]:
    """The tags in whose place something is forced on a row."""
    step_count = len(row.request.steps)
    if row.awaits_density or row.steps_forced > step_count:
        return ()
    if row.steps_forced < step_count:
        return BEFORE_A_STEP
    is_held = limits.must_answer and len(row.looks) >= limits.max_looks
    return BEFORE_THE_ANSWER if step_count or is_held else ()


def _take_outputs(
    rows: Sequence[_Row], output_by_row: Mapping[int, GeneratedText | FailedRow], limits: RolloutLimits
) -> dict[int, Sequence[PromptPiece]]:
    """Record what the policy wrote in each row; return the clips that rows asked for, by row index."""
    added_pieces: dict[int, Sequence[PromptPiece]] = {}
    for row_index, written_output in output_by_row.items():
        row = rows[row_index]
        if isinstance(written_output, FailedRow):
            row.failed = written_output
            continue
        row.written.append(written_output)
        clip_pieces = _continue(row, written_output, limits)
        if clip_pieces:
            added_pieces[row_index] = clip_pieces
    return added_pieces


def _continue(row: _Row, written: GeneratedText, limits: RolloutLimits) -> Sequence[PromptPiece]:
    """Record what the policy wrote; return the runtime's pieces that answer it, none where its row has ended."""
    if written.stop == "tag":
        row.pieces.append(Piece("policy", written.text))
        return _force_step(row, limits)
    dialect = row.dialect
    is_asking = written.stop == "look" or (
        written.stop == "end" and bool(dialect.turn_end) and written.text.endswith(f"</{dialect.look_tag}>")
    )
    row.pieces.append(Piece("policy", written.text + dialect.turn_end * is_asking))
    if written.stop == "length":
        row.ending = "cut_off"
    if not is_asking:
        return ()
    looks = dialect.looks_so_far(row.text)
    if looks is None or len(looks) <= len(row.looks):
        row.ending = "malformed_look"
    elif len(looks) <= limits.max_looks:  # else it is malformed: it has too many
        return _answer(row, looks[len(row.looks) :], limits)
    return ()


def _force_step(row: _Row, limits: RolloutLimits) -> Sequence[PromptPiece]:
    """The runtime's pieces in place of a look, or of the end of a thought."""
    remaining_steps = row.request.steps[row.steps_forced :]
    row.steps_forced += 1
    row.pieces.append(Piece("runtime", written_step(remaining_steps[0]) if remaining_steps else MUST_ANSWER))
    forced_text = PromptPiece(row.pieces[-1])
    if not remaining_steps or isinstance(remaining_steps[0], Window):
        return (forced_text,)
    clip_pieces = _answer(row, (remaining_steps[0],), limits)
    return (forced_text, *clip_pieces) if clip_pieces else ()


def look_of(text: str, look_count: int = 1) -> Look | None:
    """The look that a text in `span` ends with, if the text can still become a well-formed trajectory."""
    looks = DIALECTS["span"].looks_so_far(text)
    return looks[-1] if looks is not None and len(looks) == look_count else None


def _answer(row: _Row, looks: tuple[Look, ...], limits: RolloutLimits) -> Sequence[PromptPiece]:
    """Cut the clips of looks and add them to their row. Where that can't be, none, and the row gets its ending."""
    clips: list[ShownClip] = []
    for look in looks:
        try:
            clips.append(row.request.footage.look(look))
        except NoFrames:
            row.ending = "window_outside"
            return ()
        except QuotaTooSmall:
            row.ending = "malformed_look"
            return ()
    visual_tokens = row.visual_tokens + sum(clip.tokens for clip in clips)
    if visual_tokens > limits.max_visual_tokens:
        row.ending = "over_budget"
        return ()
    row.visual_tokens = visual_tokens
    row.looks += looks
    row.look_tokens += [clip.tokens for clip in clips]
    runtime_pieces = row.dialect.answered(looks)
    row.pieces += runtime_pieces
    next_clip = iter(clips)
    return [PromptPiece(piece, next(next_clip) if piece.is_clip else None) for piece in runtime_pieces]


def _result(row: _Row, limits: RolloutLimits) -> RolloutResult:
    trajectory_or_defects = row.dialect.parse(row.text, limits.max_looks) if row.ending is None else ()
    trajectory = trajectory_or_defects if isinstance(trajectory_or_defects, Trajectory) else None
    ending = row.ending or ("malformed" if trajectory is None else "answered" if trajectory.looks else "no_look")
    return RolloutResult(
        Transcript(tuple(row.pieces)),
        ending,
        trajectory,
        tuple(row.looks),
        tuple(row.written),
        row.visual_tokens,
        tuple(row.look_tokens),
    )
