"""The engine in this process: it keeps a cache for each row, so only new tokens go through the model.

What is added to rows (a prompt, the clip of a look) is one forward pass for all rows that wait for something; then all of
them go on token by token. Positions are explicit, so nothing depends on how rows are padded or who else is in the batch.
"""

from __future__ import annotations

from collections.abc import Collection, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from dmforge.generators.footage import PromptPiece
from dmforge.generators.inference.engines.engine import GeneratedText, Sampling, Stop
from dmforge.generators.inference.engines.engine_settings import TransformersSettings
from dmforge.generators.inference.engines.ragged_cache import RaggedCache
from dmforge.generators.inference.engines.token_sampling import RandomStream, pick
from dmforge.generators.student.load_student import Student, load
from dmforge.generators.student.patchify import grid_of, normalised, patchify
from dmforge.generators.student.positions import next_position, positions
from dmforge.generators.student.token_layout import Ids, TokenRun, cells_of
from dmforge.schemas.transcript import Piece

MAX_AT_ONCE = 8_192
"""Tokens of one forward, padding included. A longer row goes alone; alone and at its beginning it needs no mask."""


_Key = tuple[tuple[Piece, int], ...]


@dataclass(slots=True)
class _Row:
    """The state of a row, without its cache."""

    sampling: Sampling
    stream: RandomStream
    next_position: int = 0
    tokens_left: int = 0
    waiting: list[TokenRun] = field(default_factory=list[TokenRun])
    """Written or shown, but not yet through the model."""


class TransformersEngine:
    """An engine for a student that is loaded in this process."""

    def __init__(self, student: Student, max_rows: int = MAX_AT_ONCE) -> None:
        self.student, self.max_rows = student, max_rows
        embedding_rows = student.model.get_input_embeddings().weight.shape[0]
        self.banned = torch.from_numpy(student.vocabulary.unwritable(embedding_rows)).to(student.device)

    def converse(self, rows: Sequence[Sampling]) -> TransformersConversation:
        return TransformersConversation(self, rows)

    def close(self) -> None:
        """Free nothing: the student belongs to whoever loaded it."""


class TransformersConversation:
    """A conversation whose rows have their caches here."""

    def __init__(self, engine: TransformersEngine, rows: Sequence[Sampling]) -> None:
        self._engine, self._student = engine, engine.student
        self._rows = [_Row(sampling, RandomStream(sampling.seed), tokens_left=sampling.max_tokens) for sampling in rows]
        self._cache = RaggedCache(len(rows))

    def step(self, added: Mapping[int, Sequence[PromptPiece]], may_look: Collection[int]) -> dict[int, GeneratedText]:
        with torch.no_grad(), _evaluation_mode(self._student.model):
            logits = self._put(added)
            return self._decode(logits, may_look)

    def put(self, added: Mapping[int, Sequence[PromptPiece]]) -> dict[int, torch.Tensor]:
        """Add pieces to rows without continuing them: the logits of each row's next token."""
        with torch.no_grad(), _evaluation_mode(self._student.model):
            return self._put(added)

    def _put(self, added: Mapping[int, Sequence[PromptPiece]]) -> dict[int, torch.Tensor]:
        # rows that begin with the very same prompt go through the model once
        leaders: dict[_Key, int] = {}
        followers: dict[int, list[int]] = {}
        for row_index, pieces in added.items():
            is_fresh = not self._cache.lengths[row_index] and not self._rows[row_index].waiting
            leader = leaders.setdefault(_key(pieces), row_index) if is_fresh else row_index
            if leader != row_index:
                followers.setdefault(leader, []).append(row_index)
            else:
                self._rows[row_index].waiting += self._student.layout.stretches(pieces)
        follower_rows = {row_index for group_followers in followers.values() for row_index in group_followers}
        leading = [row_index for row_index in added if row_index not in follower_rows]
        self._put_shared_prompts(added, [*leaders.values()])
        logits: dict[int, torch.Tensor] = {}
        for group_indices in self._length_groups(leading):
            logits |= zip(group_indices, self._forward(group_indices), strict=True)
        for leader, group_followers in followers.items():
            self._repeat(leader, group_followers)
            logits |= dict.fromkeys(group_followers, logits[leader])
        return logits

    def _put_shared_prompts(self, added: Mapping[int, Sequence[PromptPiece]], fresh_indices: Sequence[int]) -> None:
        """Put a prompt through the model once for all rows that share it and then differ, as rows with different forced looks
        do."""
        prompts: dict[_Key, list[int]] = {}
        for row_index in fresh_indices:
            prompt = [piece for piece in added[row_index] if piece.piece.author == "prompt"]
            if 0 < len(prompt) < len(added[row_index]):
                prompts.setdefault(_key(prompt), []).append(row_index)
        for first_index, *other_indices in prompts.values():
            if not other_indices:
                continue
            prompt, *later_stretches = self._rows[first_index].waiting
            self._rows[first_index].waiting = [prompt]
            self._forward([first_index])
            self._repeat(first_index, other_indices)
            self._rows[first_index].waiting = later_stretches
            for row_index in other_indices:
                self._rows[row_index].waiting = self._rows[row_index].waiting[1:]

    def _repeat(self, source: int, targets: Sequence[int]) -> None:
        self._cache.repeat(source, targets)
        for row_index in targets:
            self._rows[row_index].next_position = self._rows[source].next_position

    def _length_groups(self, row_indices: Sequence[int]) -> Iterator[list[int]]:
        """Groups of rows of similar length, each for one forward pass."""
        lengths = {row_index: sum(len(stretch.ids) for stretch in self._rows[row_index].waiting) for row_index in row_indices}
        group: list[int] = []
        for row_index in sorted(row_indices, key=lambda row_index: (lengths[row_index], row_index)):
            if group and lengths[row_index] * (len(group) + 1) > self._engine.max_rows:
                yield group
                group = []
            group.append(row_index)
        if group:
            yield group

    def _decode(self, logits: dict[int, torch.Tensor], may_look: Collection[int]) -> dict[int, GeneratedText]:
        vocabulary = self._student.vocabulary
        ids: dict[int, list[int]] = {row_index: [] for row_index in logits}
        log_probs: dict[int, list[float]] = {row_index: [] for row_index in logits}
        stops: dict[int, Stop] = {}
        active_rows = list(logits)
        next_logits = torch.stack([logits[row_index] for row_index in active_rows])
        while True:
            for row_index, (token, log_prob) in zip(active_rows, self._sample_tokens(active_rows, next_logits), strict=True):
                ids[row_index].append(token)
                log_probs[row_index].append(log_prob)
                row = self._rows[row_index]
                row.tokens_left -= 1
                row.waiting = [TokenRun("policy", np.array([token], np.int64))]
                if token == vocabulary.end:
                    stops[row_index] = "end"
                elif not row.tokens_left:
                    stops[row_index] = "length"
                elif token == vocabulary.look_end and row_index in may_look:
                    stops[row_index] = "look"
            active_rows = [row_index for row_index in active_rows if row_index not in stops]
            if not active_rows:
                break
            next_logits = self._forward(active_rows)
        return {row_index: self._as_written(ids[row_index], log_probs[row_index], stop) for row_index, stop in stops.items()}

    def _as_written(self, ids: list[int], log_probs: list[float], stop: Stop) -> GeneratedText:
        text_ids = ids[:-1] if stop == "end" else ids
        return GeneratedText(self._student.vocabulary.decode(text_ids), tuple(ids), tuple(log_probs), stop)

    def _sample_tokens(self, row_indices: Sequence[int], logits: torch.Tensor) -> list[tuple[int, float]]:
        """A token for each row, and its log-probability. Each row draws one random number a token, from its own stream."""
        rows = [self._rows[row_index] for row_index in row_indices]
        uniforms = [row.stream[row.sampling.max_tokens - row.tokens_left] for row in rows]
        tokens, log_probs = pick(logits, [row.sampling.temperature for row in rows], uniforms, self._engine.banned)
        return list(zip(tokens.tolist(), log_probs.tolist(), strict=True))

    def _forward(self, row_indices: Sequence[int]) -> torch.Tensor:
        """One forward pass over everything that waits in these rows: the logits after the last token of each."""
        model, device = self._student.model, self._student.device
        ids, positions_by_row, inputs = self._batch(row_indices)
        lengths = [len(row_tokens) for row_tokens in ids]
        longest = max(lengths)
        tokens = np.full((len(ids), longest), self._student.vocabulary.padding, np.int64)
        position_ids = np.zeros((3, len(ids), longest), np.int64)
        for batch_row, (row_tokens, row_positions) in enumerate(zip(ids, positions_by_row, strict=True)):
            tokens[batch_row, longest - len(row_tokens) :] = row_tokens
            position_ids[:, batch_row, longest - len(row_tokens) :] = row_positions
        self._cache.begin(row_indices, lengths)
        return model(
            input_ids=torch.from_numpy(tokens).to(device),
            position_ids=torch.from_numpy(position_ids).to(device),
            attention_mask=self._cache.mask(lengths, row_indices, device),
            past_key_values=self._cache,
            use_cache=True,
            logits_to_keep=1,
            **inputs,
        ).logits[:, -1]

    def _batch(self, row_indices: Sequence[int]) -> tuple[list[Ids], list[Ids], dict[str, Any]]:
        """Tokens and positions of each row, and the pixels of all of them."""
        pad = self._student.vocabulary.video_pad
        ids: list[Ids] = []
        positions_by_row: list[Ids] = []
        patches: list[torch.Tensor] = []
        grids: list[tuple[int, int, int]] = []
        for row_index in row_indices:
            row = self._rows[row_index]
            ids.append(np.concatenate([stretch.ids for stretch in row.waiting]))
            clips = [clip for stretch in row.waiting for clip in stretch.clips]
            if len(ids[-1]) == 1:  # nearly every time: what was just written
                positions_by_row.append(np.full((3, 1), row.next_position))
                row.next_position += 1
            else:
                cells = [cell for clip in clips for cell in cells_of(clip)]
                positions_by_row.append(positions(ids[-1], pad, cells, row.next_position))
                row.next_position = next_position(positions_by_row[-1], row.next_position)
            row.waiting = []
            patches += [torch.from_numpy(patchify(clip.frames)) for clip in clips]
            grids += [grid_of(clip.frames) for clip in clips]
        if not patches:
            return ids, positions_by_row, {}
        device = self._student.device
        pixels = normalised(torch.cat(patches).to(device))
        return ids, positions_by_row, {"pixel_values_videos": pixels, "video_grid_thw": torch.tensor(grids, device=device)}


def _key(pieces: Sequence[PromptPiece]) -> _Key:
    """A key that is equal for the same clip objects between the same texts."""
    return tuple((shown_piece.piece, id(shown_piece.clip)) for shown_piece in pieces)


def open_transformers(settings: TransformersSettings, checkpoint: str) -> TransformersEngine:
    """Load a checkpoint as a student for this engine alone."""
    device = "cuda" if settings.device == "auto" and torch.cuda.is_available() else "cpu"
    return TransformersEngine(load(checkpoint, getattr(torch, settings.weights), device), settings.max_rows)


@contextmanager
def _evaluation_mode(model: Any) -> Generator[None]:
    """Put a model in evaluation mode for a while: no dropout, and no gradient checkpointing, which would lose the cache."""
    if not model.training:
        yield
        return
    model.eval()
    try:
        yield
    finally:
        model.train()
