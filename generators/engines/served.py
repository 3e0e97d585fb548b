"""Rows that are continued elsewhere: each is kept here whole, and sent on its way again whenever it has something to answer.

No row waits for another. And none is continued on trust: what comes back says what the model was shown, token by token, and
it must be what this side says was to be shown, stamps and all.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from dmforge.generators.engines.contract import Failed, Sampling, Stop, Written
from dmforge.generators.engines.legs import Courier, Gone, Leg, Order
from dmforge.generators.engines.parcels import Parcel, parcel_of
from dmforge.generators.footage import Clip, Shown
from dmforge.generators.student.layout import Layout, Stretch, printed
from dmforge.schemas.errors import DmforgeError, InputError


@dataclass(slots=True)
class Tally:
    """What legs cost."""

    legs: int = 0
    tokens: int = 0
    """That stood before them."""
    cached: int = 0
    """Of these, those that were not computed again."""


@dataclass(slots=True)
class Tallies:
    """Of what engines did, since they were opened."""

    first: Tally = field(default_factory=Tally)
    """Legs behind a prompt."""
    later: Tally = field(default_factory=Tally)
    """Legs behind a look."""


@dataclass(frozen=True, slots=True)
class Room:
    """What an engine takes."""

    context: int
    """Tokens of a row, what it may still write included."""
    clip: int
    """Tokens of a clip."""


@dataclass(slots=True)
class _Row:
    sampling: Sampling
    whole: list[int] = field(default_factory=list[int])
    """As the model sees it."""
    bare: list[int] = field(default_factory=list[int])
    """As it is sent."""
    clips: list[Parcel] = field(default_factory=list[Parcel])
    place: int = 0
    may_look: bool = False
    legs: int = 0


class ServedConversation:
    """Rows on their way."""

    def __init__(self, layout: Layout, courier: Courier, samplings: Sequence[Sampling], room: Room, tallies: Tallies) -> None:
        self._layout, self._vocabulary, self._courier = layout, layout.vocabulary, courier
        self._rows = [_Row(sampling) for sampling in samplings]
        self._room, self._tallies = room, tallies
        self._videos: dict[str, int] = {}
        self._parcels: dict[int, tuple[Clip, Parcel]] = {}  # with the clip: while it lives, nothing else has its id
        self._at_work: set[int] = set()
        courier.clear()

    def go_on(self, added: Mapping[int, Sequence[Shown]], may_look: Collection[int]) -> dict[int, Written | Failed]:
        for number, shown in added.items():
            row = self._rows[number]
            row.may_look = number in may_look
            for stretch in self._layout.stretches(shown):
                self._put(row, stretch)
            self._courier.send(number, self._order(number, row), self._leg(row))
            self._at_work.add(number)
        if not self._at_work:
            return {}
        found = self._courier.receive()
        self._at_work -= found.keys()
        return {number: one if isinstance(one, Failed) else self._met(number, one) for number, one in found.items()}

    def _put(self, row: _Row, stretch: Stretch) -> None:
        row.whole += stretch.ids.tolist()
        row.bare += bare(stretch, self._layout)
        row.clips += [self._parcel(clip) for clip in stretch.clips]

    def _parcel(self, clip: Clip) -> Parcel:
        """Once for all rows that are shown the very same clip."""
        known = self._parcels.get(id(clip))
        if known is None:
            if clip.tokens > self._room.clip:
                told = f"a clip has {clip.tokens} visual tokens; the engine takes {self._room.clip} at once"
                raise InputError(told, where="at_once", mend="raise at_once, or show fewer or smaller frames")
            known = self._parcels[id(clip)] = clip, parcel_of(clip)
        return known[1]

    def _order(self, number: int, row: _Row) -> Order:
        name = row.clips[0].name if row.clips else ""
        return self._videos.setdefault(name, len(self._videos)), number

    def _leg(self, row: _Row) -> Leg:
        most = row.sampling.most_tokens - row.place
        if len(row.whole) + most > self._room.context:
            needed = f"a row is {len(row.whole)} tokens long and may write {most} more; the engine takes {self._room.context}"
            mend = "raise the engine's context, or show fewer or smaller frames"
            raise InputError(needed, where="context", mend=mend)
        stops = (self._vocabulary.end, *([self._vocabulary.look_end] if row.may_look else []))
        told = row.sampling
        return Leg(tuple(row.bare), tuple(row.clips), stops, most, told.temperature, told.seed, row.place)

    def _met(self, number: int, gone: Gone) -> Written:
        row = self._rows[number]
        self._compare(row, gone)
        tally = self._tallies.later if row.legs else self._tallies.first
        tally.legs, tally.tokens, tally.cached = tally.legs + 1, tally.tokens + len(row.whole), tally.cached + gone.cached
        row.legs += 1
        row.whole += gone.ids
        row.bare += gone.ids
        row.place += len(gone.ids)
        stop = self._stop(row, gone.ids[-1])
        said = gone.ids[:-1] if stop == "end" else gone.ids
        return Written(self._vocabulary.decode(list(said)), gone.ids, gone.log_probs, stop)

    def _stop(self, row: _Row, last: int) -> Stop:
        if last == self._vocabulary.end:
            return "end"
        return "look" if row.place < row.sampling.most_tokens else "length"

    def _compare(self, row: _Row, gone: Gone) -> None:
        if gone.context == tuple(row.whole):
            return
        pairs = zip(row.whole, gone.context, strict=False)
        at = next((at for at, (ours, theirs) in enumerate(pairs) if ours != theirs), min(len(row.whole), len(gone.context)))
        ours, theirs = (self._vocabulary.decode(list(ids[at : at + 8])) for ids in (row.whole, gone.context))
        raise DmforgeError(
            f"the engine showed its model another context: {theirs!r} in place of {ours!r}, at token {at}",
            where=self._vocabulary.where,
            mend="see that engine and student are of one checkpoint, and vllm is of a version that docs/engines.md names",
        )


def bare(stretch: Stretch, layout: Layout) -> list[int]:
    """Tokens of a stretch with one `<|video_pad|>` in place of each clip."""
    ids: list[int] = stretch.ids.tolist()
    pad = layout.vocabulary.video_pad
    found: list[int] = []
    at = 0
    for clip in stretch.clips:
        shown = layout.vocabulary.encode(printed(clip))
        begin = ids.index(pad, at) - shown.index(pad)
        if begin < at or ids[begin : begin + len(shown)] != shown:
            mend = "let the text before the frames end with a line break"
            raise InputError("a text runs into the stamp of a frame", where=layout.vocabulary.where, mend=mend)
        found += [*ids[at:begin], pad]
        at = begin + len(shown)
    return found + ids[at:]
