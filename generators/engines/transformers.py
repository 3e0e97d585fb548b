"""The engine in this process: a cache is kept for each row, and only what is new goes through the model.

What is put behind a row (a prompt, the clip of a look) is one forward for all rows that wait for something; then all of
them go on token by token. Positions are explicit, so nothing depends on how rows are padded or who else is in the batch.
"""

from __future__ import annotations

from collections.abc import Collection, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from dmforge.generators.engines.cache import RaggedCache
from dmforge.generators.engines.contract import Sampling, Stop, Written
from dmforge.generators.engines.draws import Stream, pick
from dmforge.generators.engines.settings import TransformersSettings
from dmforge.generators.footage import Shown
from dmforge.generators.student.layout import Ids, Stretch, cells_of
from dmforge.generators.student.load import Student, load
from dmforge.generators.student.patchify import grid_of, normalised, patchify
from dmforge.generators.student.positions import following, positions
from dmforge.schemas.transcript import Piece

MOST_AT_ONCE = 8_192
"""Tokens of one forward, padding included. A longer row goes alone; alone and at its beginning it needs no mask."""


_Key = tuple[tuple[Piece, int], ...]


@dataclass(slots=True)
class _Row:
    """What is known of a row beside its cache."""

    sampling: Sampling
    draws: Stream
    next_position: int = 0
    left: int = 0
    waiting: list[Stretch] = field(default_factory=list[Stretch])
    """Written or shown, but not yet through the model."""


class TransformersEngine:
    """A student, continued where it is."""

    def __init__(self, student: Student, most_at_once: int = MOST_AT_ONCE) -> None:
        self.student, self.most_at_once = student, most_at_once
        rows = student.model.get_input_embeddings().weight.shape[0]
        self.banned = torch.from_numpy(student.vocabulary.unwritable(rows)).to(student.device)

    def converse(self, rows: Sequence[Sampling]) -> TransformersConversation:
        return TransformersConversation(self, rows)

    def close(self) -> None:
        """The student belongs to whoever loaded it."""


class TransformersConversation:
    """Rows with their caches."""

    def __init__(self, engine: TransformersEngine, rows: Sequence[Sampling]) -> None:
        self._engine, self._student = engine, engine.student
        self._rows = [_Row(sampling, Stream(sampling.seed), left=sampling.most_tokens) for sampling in rows]
        self._cache = RaggedCache(len(rows))

    def go_on(self, added: Mapping[int, Sequence[Shown]], may_look: Collection[int]) -> dict[int, Written]:
        with torch.no_grad(), _resting(self._student.model):
            logits = self._put(added)
            return self._decode(logits, may_look)

    def put(self, added: Mapping[int, Sequence[Shown]]) -> dict[int, torch.Tensor]:
        """Only put these behind their rows: the logits of what would come next."""
        with torch.no_grad(), _resting(self._student.model):
            return self._put(added)

    def _put(self, added: Mapping[int, Sequence[Shown]]) -> dict[int, torch.Tensor]:
        # rows that begin with the very same prompt go through the model once
        leaders: dict[_Key, int] = {}
        followers: dict[int, list[int]] = {}
        for number, shown in added.items():
            fresh = not self._cache.lengths[number] and not self._rows[number].waiting
            leader = leaders.setdefault(_key(shown), number) if fresh else number
            if leader != number:
                followers.setdefault(leader, []).append(number)
            else:
                self._rows[number].waiting += self._student.layout.stretches(shown)
        following = {number for those in followers.values() for number in those}
        leading = [number for number in added if number not in following]
        self._put_shared_prompts(added, [*leaders.values()])
        logits: dict[int, torch.Tensor] = {}
        for group in self._groups(leading):
            logits |= zip(group, self._forward(group), strict=True)
        for leader, those in followers.items():
            self._repeat(leader, those)
            logits |= dict.fromkeys(those, logits[leader])
        return logits

    def _put_shared_prompts(self, added: Mapping[int, Sequence[Shown]], fresh: Sequence[int]) -> None:
        """Rows that begin with one prompt and go on otherwise, as with other looks forced on them: the prompt goes in once."""
        prompts: dict[_Key, list[int]] = {}
        for number in fresh:
            prompt = [shown for shown in added[number] if shown.piece.author == "prompt"]
            if 0 < len(prompt) < len(added[number]):
                prompts.setdefault(_key(prompt), []).append(number)
        for first, *others in prompts.values():
            if not others:
                continue
            prompt, *rest = self._rows[first].waiting
            self._rows[first].waiting = [prompt]
            self._forward([first])
            self._repeat(first, others)
            self._rows[first].waiting = rest
            for number in others:
                self._rows[number].waiting = self._rows[number].waiting[1:]

    def _repeat(self, source: int, targets: Sequence[int]) -> None:
        self._cache.repeat(source, targets)
        for number in targets:
            self._rows[number].next_position = self._rows[source].next_position

    def _groups(self, numbers: Sequence[int]) -> Iterator[list[int]]:
        """Rows that go together, about equally long."""
        length = {number: sum(len(stretch.ids) for stretch in self._rows[number].waiting) for number in numbers}
        group: list[int] = []
        for number in sorted(numbers, key=lambda number: (length[number], number)):
            if group and length[number] * (len(group) + 1) > self._engine.most_at_once:
                yield group
                group = []
            group.append(number)
        if group:
            yield group

    def _decode(self, logits: dict[int, torch.Tensor], may_look: Collection[int]) -> dict[int, Written]:
        vocabulary = self._student.vocabulary
        ids: dict[int, list[int]] = {number: [] for number in logits}
        log_probs: dict[int, list[float]] = {number: [] for number in logits}
        stops: dict[int, Stop] = {}
        active = list(logits)
        now = torch.stack([logits[number] for number in active])
        while True:
            for number, (token, log_prob) in zip(active, self._chosen(active, now), strict=True):
                ids[number].append(token)
                log_probs[number].append(log_prob)
                row = self._rows[number]
                row.left -= 1
                row.waiting = [Stretch("policy", np.array([token], np.int64))]
                if token == vocabulary.end:
                    stops[number] = "end"
                elif not row.left:
                    stops[number] = "length"
                elif token == vocabulary.look_end and number in may_look:
                    stops[number] = "look"
            active = [number for number in active if number not in stops]
            if not active:
                break
            now = self._forward(active)
        return {number: self._written(ids[number], log_probs[number], stop) for number, stop in stops.items()}

    def _written(self, ids: list[int], log_probs: list[float], stop: Stop) -> Written:
        said = ids[:-1] if stop == "end" else ids
        return Written(self._student.vocabulary.decode(said), tuple(ids), tuple(log_probs), stop)

    def _chosen(self, numbers: Sequence[int], logits: torch.Tensor) -> list[tuple[int, float]]:
        """A token for each row, and its log-probability. Each row draws one number a token, from a stream of its own."""
        rows = [self._rows[number] for number in numbers]
        draws = [row.draws[row.sampling.most_tokens - row.left] for row in rows]
        tokens, log_probs = pick(logits, [row.sampling.temperature for row in rows], draws, self._engine.banned)
        return list(zip(tokens.tolist(), log_probs.tolist(), strict=True))

    def _forward(self, numbers: Sequence[int]) -> torch.Tensor:
        """Everything that waits in these rows through the model, once; logits behind the last token of each."""
        model, device = self._student.model, self._student.device
        ids, places, inputs = self._batch(numbers)
        lengths = [len(row) for row in ids]
        longest = max(lengths)
        tokens = np.full((len(ids), longest), self._student.vocabulary.padding, np.int64)
        where = np.zeros((3, len(ids), longest), np.int64)
        for at, (row, place) in enumerate(zip(ids, places, strict=True)):
            tokens[at, longest - len(row) :] = row
            where[:, at, longest - len(row) :] = place
        self._cache.begin(numbers, lengths)
        return model(
            input_ids=torch.from_numpy(tokens).to(device),
            position_ids=torch.from_numpy(where).to(device),
            attention_mask=self._cache.mask(lengths, numbers, device),
            past_key_values=self._cache,
            use_cache=True,
            logits_to_keep=1,
            **inputs,
        ).logits[:, -1]

    def _batch(self, numbers: Sequence[int]) -> tuple[list[Ids], list[Ids], dict[str, Any]]:
        """Tokens and positions of each row, and the pixels of all of them."""
        pad = self._student.vocabulary.video_pad
        ids: list[Ids] = []
        places: list[Ids] = []
        patches: list[torch.Tensor] = []
        grids: list[tuple[int, int, int]] = []
        for number in numbers:
            row = self._rows[number]
            ids.append(np.concatenate([stretch.ids for stretch in row.waiting]))
            clips = [clip for stretch in row.waiting for clip in stretch.clips]
            if len(ids[-1]) == 1:  # nearly every time: what was just written
                places.append(np.full((3, 1), row.next_position))
                row.next_position += 1
            else:
                cells = [cell for clip in clips for cell in cells_of(clip)]
                places.append(positions(ids[-1], pad, cells, row.next_position))
                row.next_position = following(places[-1], row.next_position)
            row.waiting = []
            patches += [torch.from_numpy(patchify(clip.frames)) for clip in clips]
            grids += [grid_of(clip.frames) for clip in clips]
        if not patches:
            return ids, places, {}
        device = self._student.device
        pixels = normalised(torch.cat(patches).to(device))
        return ids, places, {"pixel_values_videos": pixels, "video_grid_thw": torch.tensor(grids, device=device)}


def _key(shown: Sequence[Shown]) -> _Key:
    """Equal for the very same clips between the same words."""
    return tuple((one.piece, id(one.clip)) for one in shown)


def open_transformers(settings: TransformersSettings, checkpoint: str) -> TransformersEngine:
    """A student for nothing but this."""
    device = "cuda" if settings.device == "auto" and torch.cuda.is_available() else "cpu"
    return TransformersEngine(load(checkpoint, getattr(torch, settings.weights), device), settings.most_at_once)


@contextmanager
def _resting(model: Any) -> Generator[None]:
    """A model that is being trained rests meanwhile: no dropout, and no checkpointing, which would lose the cache."""
    if not model.training:
        yield
        return
    model.eval()
    try:
        yield
    finally:
        model.train()
