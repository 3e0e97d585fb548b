"""Rows that are continued in another process: each is kept here whole, and sent again whenever it can go on.

No row waits for another. And none is continued on trust: a result brings all tokens that the model was shown, and they
must be those that were to be shown, stamps and all.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from dmforge.generators.footage import PromptPiece, ShownClip
from dmforge.generators.inference.engines.clip_payload import ClipPayload, payload_of
from dmforge.generators.inference.engines.engine import NOWHERE, FailedRow, GeneratedText, Sampling, Stop
from dmforge.generators.inference.engines.messages import Generate, Generated, GenerationTransport, Order
from dmforge.generators.student.token_layout import TokenLayout, TokenRun, printed
from dmforge.schemas.errors import DmforgeError, InputError


@dataclass(slots=True)
class GenerationCosts:
    """Counts of requests and of the tokens before them."""

    requests: int = 0
    tokens: int = 0
    """Tokens that stood before them."""
    cached: int = 0
    """Those of these tokens that were cached."""


@dataclass(slots=True)
class GenerationTotals:
    """Counts of an engine since it was opened."""

    first: GenerationCosts = field(default_factory=GenerationCosts)
    """Requests behind a prompt."""
    later: GenerationCosts = field(default_factory=GenerationCosts)
    """Requests behind a look."""


@dataclass(frozen=True, slots=True)
class EngineResources:
    """The most that an engine takes."""

    context: int
    """Tokens of a row, what it may still write included."""
    clip: int
    """Tokens of a clip."""
    looks: int
    """Looks of a row: it may have one clip more."""


@dataclass(slots=True)
class _Row:
    sampling: Sampling
    ids: list[int] = field(default_factory=list[int])
    """Its tokens as the model sees them."""
    sent_ids: list[int] = field(default_factory=list[int])
    """Its tokens as they are sent: one `<|video_pad|>` for each clip."""
    clips: list[ClipPayload] = field(default_factory=list[ClipPayload])
    tokens_written: int = 0
    stop_by_token: dict[int, Stop] = field(default_factory=dict[int, Stop])
    """Why it stops at a token, besides the end of its turn."""
    requests: int = 0


class RemoteConversation:
    """A conversation whose rows are continued by a remote engine."""

    def __init__(
        self,
        layout: TokenLayout,
        transport: GenerationTransport,
        samplings: Sequence[Sampling],
        engine_limits: EngineResources,
        generation_totals: GenerationTotals,
    ) -> None:
        self._layout, self._vocabulary, self._transport = layout, layout.vocabulary, transport
        self._rows = [_Row(sampling) for sampling in samplings]
        self._room, self._tallies = engine_limits, generation_totals
        self._video_indices: dict[str, int] = {}
        self._parcels: dict[
            int, tuple[ShownClip, ClipPayload]
        ] = {}  # holds the clip too: while it lives, no other object has its id
        self._in_flight: set[int] = set()
        transport.clear()

    def step(
        self,
        added: Mapping[int, Sequence[PromptPiece]],
        may_look: Collection[int],
        stop_before: Mapping[int, Sequence[str]] = NOWHERE,
    ) -> dict[int, GeneratedText | FailedRow]:
        for row_index, pieces in added.items():
            engine_row = self._rows[row_index]
            engine_row.stop_by_token = {self._vocabulary.look_end: "look"} if row_index in may_look else {}
            engine_row.stop_by_token |= {self._vocabulary.id(tag): "tag" for tag in stop_before.get(row_index, ())}
            for token_run in self._layout.stretches(pieces):
                self._append(engine_row, token_run)
            self._transport.send(row_index, self._order(row_index, engine_row), self._request(engine_row))
            self._in_flight.add(row_index)
        if not self._in_flight:
            return {}
        raw_results = self._transport.receive()
        self._in_flight -= raw_results.keys()
        return {
            row_index: raw_result if isinstance(raw_result, FailedRow) else self._take(row_index, raw_result)
            for row_index, raw_result in raw_results.items()
        }

    def _append(self, row: _Row, token_run: TokenRun) -> None:
        row.ids += token_run.ids.tolist()
        row.sent_ids += bare(token_run, self._layout)
        row.clips += [self._parcel_for(clip) for clip in token_run.clips]

    def _parcel_for(self, clip: ShownClip) -> ClipPayload:
        """The clip's payload, made once for all rows that are shown it."""
        clip_and_payload = self._parcels.get(id(clip))
        if clip_and_payload is None:
            if clip.tokens > self._room.clip:
                too_large_message = f"a clip has {clip.tokens} visual tokens; the engine takes {self._room.clip} at once"
                raise InputError(
                    too_large_message, where="max_num_batched_tokens", hint="raise it, or show fewer or smaller frames"
                )
            clip_and_payload = self._parcels[id(clip)] = clip, payload_of(clip)
        return clip_and_payload[1]

    def _order(self, row_index: int, row: _Row) -> Order:
        first_clip = row.clips[0].name if row.clips else ""
        return self._video_indices.setdefault(first_clip, len(self._video_indices)), row_index

    def _request(self, row: _Row) -> Generate:
        max_tokens = row.sampling.max_tokens - row.tokens_written
        if len(row.ids) + max_tokens > self._room.context:
            message = (
                f"a row is {len(row.ids)} tokens long and may write {max_tokens} more; the engine takes {self._room.context}"
            )
            hint = "raise the engine's context, or show fewer or smaller frames"
            raise InputError(message, where="max_model_len", hint=hint)
        if len(row.clips) > 1 + self._room.looks:
            message = f"a row is shown {len(row.clips) - 1} looks; the engine takes {self._room.looks}"
            raise InputError(message, where="max_looks", hint="raise the engine's max_looks")
        stop_ids = (self._vocabulary.end, *row.stop_by_token)
        sampling = row.sampling
        return Generate(
            tuple(row.sent_ids), tuple(row.clips), stop_ids, max_tokens, sampling.temperature, sampling.seed, row.tokens_written
        )

    def _take(self, row_index: int, generated: Generated) -> GeneratedText:
        engine_row = self._rows[row_index]
        self._compare(engine_row, generated)
        generation_total = self._tallies.later if engine_row.requests else self._tallies.first
        generation_total.requests, generation_total.tokens, generation_total.cached = (
            generation_total.requests + 1,
            generation_total.tokens + len(engine_row.ids),
            generation_total.cached + generated.cached,
        )
        engine_row.requests += 1
        engine_row.tokens_written += len(generated.ids)
        stop_reason = self._stop(engine_row, generated.ids[-1])
        kept_ids = generated.ids[:-1] if stop_reason == "tag" else generated.ids
        engine_row.ids += kept_ids
        engine_row.sent_ids += kept_ids
        text_ids = generated.ids[:-1] if stop_reason == "end" else kept_ids
        return GeneratedText(self._vocabulary.decode(list(text_ids)), generated.ids, generated.log_probs, stop_reason)

    def _stop(self, row: _Row, last_id: int) -> Stop:
        if last_id == self._vocabulary.end:
            return "end"
        return row.stop_by_token[last_id] if row.tokens_written < row.sampling.max_tokens else "length"

    def _compare(self, row: _Row, generated: Generated) -> None:
        if generated.context == tuple(row.ids):
            return
        sent_and_shown_ids = zip(row.ids, generated.context, strict=False)
        difference_index = next(
            (
                difference_index
                for difference_index, (expected_id, actual_id) in enumerate(sent_and_shown_ids)
                if expected_id != actual_id
            ),
            min(len(row.ids), len(generated.context)),
        )
        expected, actual = (
            self._vocabulary.decode(list(row_ids[difference_index : difference_index + 8]))
            for row_ids in (row.ids, generated.context)
        )
        raise DmforgeError(
            f"the engine showed its model another context: {actual!r} in place of {expected!r}, at token {difference_index}",
            where=self._vocabulary.where,
            hint="see that engine and student are of one checkpoint, and vllm is of a version that docs/engines.md names",
        )


def bare(token_run: TokenRun, layout: TokenLayout) -> list[int]:
    """Tokens of a stretch with one `<|video_pad|>` in place of each clip."""
    run_ids: list[int] = token_run.ids.tolist()
    video_pad_id = layout.vocabulary.video_pad
    bare_ids: list[int] = []
    copied_until = 0
    for clip in token_run.clips:
        printed_ids = layout.vocabulary.encode(printed(clip))
        clip_start = run_ids.index(video_pad_id, copied_until) - printed_ids.index(video_pad_id)
        if clip_start < copied_until or run_ids[clip_start : clip_start + len(printed_ids)] != printed_ids:
            hint = "let the text before the frames end with a line break"
            raise InputError("a text runs into the stamp of a frame", where=layout.vocabulary.where, hint=hint)
        bare_ids += [*run_ids[copied_until:clip_start], video_pad_id]
        copied_until = clip_start + len(printed_ids)
    return bare_ids + run_ids[copied_until:]
