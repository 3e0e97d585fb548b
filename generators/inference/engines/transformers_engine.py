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
from dmforge.generators.inference.engines.engine import NOWHERE, GeneratedText, Sampling, Stop
from dmforge.generators.inference.engines.engine_settings import TransformersSettings
from dmforge.generators.inference.engines.ragged_cache import RaggedCache
from dmforge.generators.inference.engines.token_sampling import RandomStream, pick
from dmforge.generators.student.load_student import Student, load
from dmforge.generators.student.patchify import grid_of, normalised, patchify
from dmforge.generators.student.positions import next_position, positions
from dmforge.generators.student.token_layout import Ids, TokenRun, cells_of
from dmforge.schemas.dialects.dialect_name import DialectName
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

    @property
    def dialect(self) -> DialectName:
        return self.student.vocabulary.dialect

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

    def step(
        self,
        added: Mapping[int, Sequence[PromptPiece]],
        may_look: Collection[int],
        stop_before: Mapping[int, Sequence[str]] = NOWHERE,
    ) -> dict[int, GeneratedText]:
        vocabulary = self._student.vocabulary
        stop_by_token: dict[tuple[int, int], Stop] = {(row_index, vocabulary.look_end): "look" for row_index in may_look}
        for row_index, tags in stop_before.items():
            stop_by_token |= {(row_index, vocabulary.id(tag)): "tag" for tag in tags}
        with torch.no_grad(), _evaluation_mode(self._student.model):
            return self._decode(self._put(added), stop_by_token)

    def put(self, added: Mapping[int, Sequence[PromptPiece]]) -> dict[int, torch.Tensor]:
        """Add pieces to rows without continuing them: the logits of each row's next token."""
        with torch.no_grad(), _evaluation_mode(self._student.model):
            return self._put(added)

    def _put(self, added: Mapping[int, Sequence[PromptPiece]]) -> dict[int, torch.Tensor]:
        # rows that begin with the very same prompt go through the model once
        leader_by_prompt: dict[_Key, int] = {}
        followers_by_leader: dict[int, list[int]] = {}
        for row_index, pieces in added.items():
            is_fresh = not self._cache.lengths[row_index] and not self._rows[row_index].waiting
            leader_index = leader_by_prompt.setdefault(_key(pieces), row_index) if is_fresh else row_index
            if leader_index != row_index:
                followers_by_leader.setdefault(leader_index, []).append(row_index)
            else:
                self._rows[row_index].waiting += self._student.layout.stretches(pieces)
        follower_rows = {row_index for group_followers in followers_by_leader.values() for row_index in group_followers}
        leading_indices = [row_index for row_index in added if row_index not in follower_rows]
        self._put_shared_prompts(added, [*leader_by_prompt.values()])
        logits_by_row: dict[int, torch.Tensor] = {}
        for group_indices in self._length_groups(leading_indices):
            logits_by_row |= zip(group_indices, self._forward(group_indices), strict=True)
        for leader_index, group_followers in followers_by_leader.items():
            self._repeat(leader_index, group_followers)
            logits_by_row |= dict.fromkeys(group_followers, logits_by_row[leader_index])
        return logits_by_row

    def _put_shared_prompts(self, added: Mapping[int, Sequence[PromptPiece]], fresh_indices: Sequence[int]) -> None:
        """Put a prompt through the model once for all rows that share it and then differ, as rows with different forced looks
        do."""
        rows_by_prompt: dict[_Key, list[int]] = {}
        for row_index in fresh_indices:
            prompt_pieces = [piece for piece in added[row_index] if piece.piece.author == "prompt"]
            if 0 < len(prompt_pieces) < len(added[row_index]):
                rows_by_prompt.setdefault(_key(prompt_pieces), []).append(row_index)
        for first_index, *equal_indices in rows_by_prompt.values():
            if not equal_indices:
                continue
            prompt_run, *later_runs = self._rows[first_index].waiting
            self._rows[first_index].waiting = [prompt_run]
            self._forward([first_index])
            self._repeat(first_index, equal_indices)
            self._rows[first_index].waiting = later_runs
            for row_index in equal_indices:
                self._rows[row_index].waiting = self._rows[row_index].waiting[1:]

    def _repeat(self, source_row: int, target_rows: Sequence[int]) -> None:
        self._cache.repeat(source_row, target_rows)
        for row_index in target_rows:
            self._rows[row_index].next_position = self._rows[source_row].next_position

    def _length_groups(self, row_indices: Sequence[int]) -> Iterator[list[int]]:
        """Groups of rows of similar length, each for one forward pass."""
        waiting_tokens = {
            row_index: sum(len(token_run.ids) for token_run in self._rows[row_index].waiting) for row_index in row_indices
        }
        row_group: list[int] = []
        for row_index in sorted(row_indices, key=lambda row_index: (waiting_tokens[row_index], row_index)):
            if row_group and waiting_tokens[row_index] * (len(row_group) + 1) > self._engine.max_rows:
                yield row_group
                row_group = []
            row_group.append(row_index)
        if row_group:
            yield row_group

    def _decode(
        self, logits_by_row: dict[int, torch.Tensor], stop_by_token: Mapping[tuple[int, int], Stop]
    ) -> dict[int, GeneratedText]:
        """Continue rows until each stops. `stop_by_token`: of a row and a token, why the row stops there."""
        vocabulary = self._student.vocabulary
        ids_by_row: dict[int, list[int]] = {row_index: [] for row_index in logits_by_row}
        log_probs_by_row: dict[int, list[float]] = {row_index: [] for row_index in logits_by_row}
        stop_by_row: dict[int, Stop] = {}
        active_rows = list(logits_by_row)
        next_logits = torch.stack([logits_by_row[row_index] for row_index in active_rows])
        while True:
            for row_index, (token_id, log_prob) in zip(active_rows, self._sample_tokens(active_rows, next_logits), strict=True):
                ids_by_row[row_index].append(token_id)
                log_probs_by_row[row_index].append(log_prob)
                engine_row = self._rows[row_index]
                engine_row.tokens_left -= 1
                engine_row.waiting = [TokenRun("policy", np.array([token_id], np.int64))]
                if token_id == vocabulary.end:
                    stop_by_row[row_index] = "end"
                elif not engine_row.tokens_left:
                    stop_by_row[row_index] = "length"
                elif (stop_reason := stop_by_token.get((row_index, token_id))) is not None:
                    stop_by_row[row_index] = stop_reason
                    if stop_reason == "tag":
                        engine_row.waiting = []
            active_rows = [row_index for row_index in active_rows if row_index not in stop_by_row]
            if not active_rows:
                break
            next_logits = self._forward(active_rows)
        return {
            row_index: self._as_written(ids_by_row[row_index], log_probs_by_row[row_index], stop_reason)
            for row_index, stop_reason in stop_by_row.items()
        }

    def _as_written(self, token_ids: list[int], log_probs: list[float], stop_reason: Stop) -> GeneratedText:
        text_ids = token_ids[:-1] if stop_reason in ("end", "tag") else token_ids
        return GeneratedText(self._student.vocabulary.decode(text_ids), tuple(token_ids), tuple(log_probs), stop_reason)

    def _sample_tokens(self, row_indices: Sequence[int], logits: torch.Tensor) -> list[tuple[int, float]]:
        """A token for each row, and its log-probability. Each row draws one random number a token, from its own stream."""
        sampled_rows = [self._rows[row_index] for row_index in row_indices]
        uniform_draws = [
            sampled_row.stream[sampled_row.sampling.max_tokens - sampled_row.tokens_left] for sampled_row in sampled_rows
        ]
        token_ids, log_probs = pick(
            logits, [sampled_row.sampling.temperature for sampled_row in sampled_rows], uniform_draws, self._engine.banned
        )
        return list(zip(token_ids.tolist(), log_probs.tolist(), strict=True))

    def _forward(self, row_indices: Sequence[int]) -> torch.Tensor:
        """One forward pass over everything that waits in these rows: the logits after the last token of each."""
        model, device = self._student.model, self._student.device
        ids_by_row, positions_by_row, pixel_inputs = self._batch(row_indices)
        row_lengths = [len(row_ids) for row_ids in ids_by_row]
        max_new_tokens = max(row_lengths)
        padded_ids = np.full((len(ids_by_row), max_new_tokens), self._student.vocabulary.padding, np.int64)
        position_ids = np.zeros((3, len(ids_by_row), max_new_tokens), np.int64)
        for batch_row, (row_ids, row_positions) in enumerate(zip(ids_by_row, positions_by_row, strict=True)):
            padded_ids[batch_row, max_new_tokens - len(row_ids) :] = row_ids
            position_ids[:, batch_row, max_new_tokens - len(row_ids) :] = row_positions
        self._cache.begin(row_indices, row_lengths)
        return model(
            input_ids=torch.from_numpy(padded_ids).to(device),
            position_ids=torch.from_numpy(position_ids).to(device),
            attention_mask=self._cache.mask(row_lengths, row_indices, device),
            past_key_values=self._cache,
            use_cache=True,
            logits_to_keep=1,
            **pixel_inputs,
        ).logits[:, -1]

    def _batch(self, row_indices: Sequence[int]) -> tuple[list[Ids], list[Ids], dict[str, Any]]:
        """Tokens and positions of each row, and the pixels of all of them."""
        video_pad_id = self._student.vocabulary.video_pad
        ids_by_row: list[Ids] = []
        positions_by_row: list[Ids] = []
        patches_of_clips: list[torch.Tensor] = []
        clip_grids: list[tuple[int, int, int]] = []
        for row_index in row_indices:
            engine_row = self._rows[row_index]
            ids_by_row.append(np.concatenate([token_run.ids for token_run in engine_row.waiting]))
            clips = [clip for token_run in engine_row.waiting for clip in token_run.clips]
            if len(ids_by_row[-1]) == 1:  # nearly every time: what was just written
                positions_by_row.append(np.full((3, 1), engine_row.next_position))
                engine_row.next_position += 1
            else:
                patch_cells = [patch_cell for clip in clips for patch_cell in cells_of(clip)]
                positions_by_row.append(positions(ids_by_row[-1], video_pad_id, patch_cells, engine_row.next_position))
                engine_row.next_position = next_position(positions_by_row[-1], engine_row.next_position)
            engine_row.waiting = []
            patches_of_clips += [torch.from_numpy(patchify(clip.frames)) for clip in clips]
            clip_grids += [grid_of(clip.frames) for clip in clips]
        if not patches_of_clips:
            return ids_by_row, positions_by_row, {}
        device = self._student.device
        normalised_patches = normalised(torch.cat(patches_of_clips).to(device))
        return (
            ids_by_row,
            positions_by_row,
            {"pixel_values_videos": normalised_patches, "video_grid_thw": torch.tensor(clip_grids, device=device)},
        )


def _key(pieces: Sequence[PromptPiece]) -> _Key:
    """A key that is equal for the same clip objects between the same texts."""
    return tuple((shown_piece.piece, id(shown_piece.clip)) for shown_piece in pieces)


def open_transformers(settings: TransformersSettings, checkpoint: str, dialect: DialectName = "span") -> TransformersEngine:
    """Load a checkpoint as a student for this engine alone."""
    device = "cuda" if settings.device == "auto" and torch.cuda.is_available() else "cpu"
    student = load(checkpoint, getattr(torch, settings.weights), device, dialect=dialect)
    return TransformersEngine(student, settings.max_rows)


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
