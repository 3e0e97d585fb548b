"""Turns a transcript into tokens, positions and patches. Each token keeps its author; loss masks follow from that alone.

A stretch is what one author put down in one go. Where two stretches meet there is always an added token (a tag, a vision
marker, the frame of the chat), and no tokenizer merges across one: so tokens are the same whether a transcript is laid out
whole or piece by piece as it grows.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import takewhile

import numpy as np
from numpy.typing import NDArray

from dmforge.generators.footage import PromptPiece, ShownClip
from dmforge.generators.student.patchify import PATCH_VALUES, grid_of, patchify
from dmforge.generators.student.positions import positions
from dmforge.generators.student.vocabulary import Vocabulary
from dmforge.schemas.errors import InputError
from dmforge.schemas.stamps import patches, print_patch
from dmforge.schemas.transcript import Author

Ids = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class TokenRun:
    """Tokens of one author, and the clips among them."""

    author: Author
    ids: Ids
    clips: tuple[ShownClip, ...] = ()

    @property
    def is_trained(self) -> bool:
        """Whether these tokens are learnt: only what the policy wrote is."""
        return self.author == "policy"


@dataclass(frozen=True, slots=True)
class LaidOutTranscript:
    """A whole transcript as input of a model."""

    ids: Ids
    trained: NDArray[np.bool_]
    """Tokens that the policy wrote."""
    reasoning: NDArray[np.bool_]
    """Those of the trained tokens that stand behind the first clip of a look; the others are the sampling segment."""
    positions: Ids
    """3 x tokens: in time, down and across."""
    patches: NDArray[np.uint8]
    """One patch a row, in bytes."""
    grids: Ids
    """One clip a row: its patches in time, down, across."""

    def __len__(self) -> int:
        return len(self.ids)


class TokenLayout:
    """Lays out transcripts for one student's vocabulary."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self.vocabulary = vocabulary
        self._reserved = vocabulary.tokenizer.convert_ids_to_tokens(vocabulary.vision.tolist())

    def transcript(self, pieces: Sequence[PromptPiece]) -> list[TokenRun]:
        """The stretches of a finished transcript; where the policy wrote the last one, the end of its turn is added."""
        token_runs = self.stretches(pieces)
        last_stretch = token_runs[-1]
        if last_stretch.is_trained:
            token_runs[-1] = TokenRun("policy", np.append(last_stretch.ids, self.vocabulary.end))
        return token_runs

    def stretches(self, pieces: Sequence[PromptPiece]) -> list[TokenRun]:
        """One stretch for each piece, in order. Pieces of a prompt are one stretch, inside the chat template."""
        prompt_pieces = list(takewhile(lambda prompt_piece: prompt_piece.piece.author == "prompt", pieces))
        token_runs = [self._prompt_stretch(prompt_pieces)] if prompt_pieces else []
        return token_runs + [self._stretch(prompt_piece) for prompt_piece in pieces[len(prompt_pieces) :]]

    def _prompt_stretch(self, pieces: Sequence[PromptPiece]) -> TokenRun:
        prefix, suffix = self.vocabulary.frame
        piece_texts = [self._text(prompt_piece) for prompt_piece in pieces]
        return TokenRun(
            "prompt",
            self._encode("".join([prefix, *piece_texts, suffix])),
            tuple(prompt_piece.clip for prompt_piece in pieces if prompt_piece.clip),
        )

    def _stretch(self, piece: PromptPiece) -> TokenRun:
        return TokenRun(piece.piece.author, self._encode(self._text(piece)), (piece.clip,) if piece.clip else ())

    def _text(self, piece: PromptPiece) -> str:
        """The text of a piece in the context. No text may hold tokens that stand for frames."""
        if piece.clip:
            return printed(piece.clip)
        piece_text = piece.piece.text or ""
        reserved_token = next((token for token in self._reserved if token in piece_text), None)
        if reserved_token is not None:
            hint = "leave the sample out, or write it otherwise: only the runtime shows frames"
            raise InputError(f"a text holds {reserved_token}", where=piece_text[:60], hint=hint)
        return piece_text

    def _encode(self, text: str) -> Ids:
        return np.array(self.vocabulary.encode(text), np.int64)

    def join(self, stretches: Iterable[TokenRun], first_position: int = 0) -> LaidOutTranscript:
        """Concatenate stretches; the first token has the position `first_position`."""
        token_runs = list(stretches)
        token_ids = np.concatenate([token_run.ids for token_run in token_runs])
        run_lengths = [len(token_run.ids) for token_run in token_runs]
        trained_mask = np.repeat([token_run.is_trained for token_run in token_runs], run_lengths)
        is_behind_look = np.cumsum([token_run.author == "runtime" and bool(token_run.clips) for token_run in token_runs]) > 0
        clips = [clip for token_run in token_runs for clip in token_run.clips]
        patch_cells = [patch_cell for clip in clips for patch_cell in cells_of(clip)]
        clip_patches = [patchify(clip.frames) for clip in clips]
        return LaidOutTranscript(
            token_ids,
            trained_mask,
            trained_mask & np.repeat(is_behind_look, run_lengths),
            positions(token_ids, self.vocabulary.video_pad, patch_cells, first_position),
            np.concatenate(clip_patches) if clip_patches else np.empty((0, PATCH_VALUES), np.uint8),
            np.array([grid_of(clip.frames) for clip in clips], np.int64).reshape(-1, 3),
        )


def printed(clip: ShownClip) -> str:
    """A clip as text: stamps and placeholders of visual tokens."""
    cells_down, cells_across = clip.cells
    return "".join(print_patch(stamp_s, cells_down * cells_across) for stamp_s in clip.stamps_s)


def cells_of(clip: ShownClip) -> Iterator[tuple[int, int]]:
    """Visual tokens down and across, for each temporal patch of a clip."""
    return (clip.cells for _ in range(patches(len(clip.times_s))))
