"""A transcript becomes tokens, positions and patches. Who wrote a token is known of every one; masks follow from that alone.

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

from dmforge.generators.footage import Clip, Shown
from dmforge.generators.student.patchify import PATCH_VALUES, grid_of, patchify
from dmforge.generators.student.positions import positions
from dmforge.generators.student.vocabulary import Vocabulary
from dmforge.schemas.errors import InputError
from dmforge.schemas.stamps import patches, print_patch
from dmforge.schemas.transcript import Author

Ids = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Stretch:
    """Tokens of one author, and the clips among them."""

    author: Author
    ids: Ids
    clips: tuple[Clip, ...] = ()

    @property
    def is_trained(self) -> bool:
        """As of a piece: only what the policy chose is learnt."""
        return self.author == "policy"


@dataclass(frozen=True, slots=True)
class Laid:
    """A whole transcript as a model takes it."""

    ids: Ids
    trained: NDArray[np.bool_]
    """Tokens that the policy wrote."""
    reasoning: NDArray[np.bool_]
    """Of these, those behind the first clip of a look; the others are the sampling segment."""
    positions: Ids
    """3 x tokens: in time, down and across."""
    patches: NDArray[np.uint8]
    """A row a patch, in bytes."""
    grids: Ids
    """A row a clip: patches in time, down, across."""

    def __len__(self) -> int:
        return len(self.ids)


class Layout:
    """How transcripts are put to one student."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self.vocabulary = vocabulary
        self._reserved = vocabulary.tokenizer.convert_ids_to_tokens(vocabulary.vision.tolist())

    def transcript(self, shown: Sequence[Shown]) -> list[Stretch]:
        """All stretches of a finished transcript: where the policy has the last word, it ends its turn behind it."""
        stretches = self.stretches(shown)
        last = stretches[-1]
        if last.is_trained:
            stretches[-1] = Stretch("policy", np.append(last.ids, self.vocabulary.end))
        return stretches

    def stretches(self, shown: Sequence[Shown]) -> list[Stretch]:
        """Pieces as they come. Those of a prompt are one stretch, with the frame of the chat around it."""
        asked = list(takewhile(lambda one: one.piece.author == "prompt", shown))
        found = [self._prompt(asked)] if asked else []
        return found + [self._one(one) for one in shown[len(asked) :]]

    def _prompt(self, shown: Sequence[Shown]) -> Stretch:
        before, behind = self.vocabulary.frame
        texts = [self._text(one) for one in shown]
        return Stretch("prompt", self._ids("".join([before, *texts, behind])), tuple(one.clip for one in shown if one.clip))

    def _one(self, one: Shown) -> Stretch:
        return Stretch(one.piece.author, self._ids(self._text(one)), (one.clip,) if one.clip else ())

    def _text(self, one: Shown) -> str:
        """What stands in the context. Words of others may not hold what would be taken for a frame."""
        if one.clip:
            return printed(one.clip)
        text = one.piece.text or ""
        found = next((token for token in self._reserved if token in text), None)
        if found is not None:
            mend = "leave the sample out, or write it otherwise: only the runtime shows frames"
            raise InputError(f"a text holds {found}", where=text[:60], mend=mend)
        return text

    def _ids(self, text: str) -> Ids:
        return np.array(self.vocabulary.encode(text), np.int64)

    def join(self, stretches: Iterable[Stretch], first: int = 0) -> Laid:
        """Stretches one behind the other, the first token at some position."""
        parts = list(stretches)
        ids = np.concatenate([part.ids for part in parts])
        lengths = [len(part.ids) for part in parts]
        trained = np.repeat([part.is_trained for part in parts], lengths)
        looked = np.cumsum([part.author == "runtime" and bool(part.clips) for part in parts]) > 0
        clips = [clip for part in parts for clip in part.clips]
        cells = [cell for clip in clips for cell in cells_of(clip)]
        patches = [patchify(clip.frames) for clip in clips]
        return Laid(
            ids,
            trained,
            trained & np.repeat(looked, lengths),
            positions(ids, self.vocabulary.video_pad, cells, first),
            np.concatenate(patches) if patches else np.empty((0, PATCH_VALUES), np.uint8),
            np.array([grid_of(clip.frames) for clip in clips], np.int64).reshape(-1, 3),
        )


def printed(clip: Clip) -> str:
    """A clip as it stands in the text."""
    down, across = clip.cells
    return "".join(print_patch(stamp_s, down * across) for stamp_s in clip.stamps_s)


def cells_of(clip: Clip) -> Iterator[tuple[int, int]]:
    """Visual tokens down and across, of each temporal patch."""
    return (clip.cells for _ in range(patches(len(clip.times_s))))
