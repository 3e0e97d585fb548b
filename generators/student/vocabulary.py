"""Every id that anything here needs, by its name in the tokenizer. None is written down."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dmforge.schemas.errors import InputError
from dmforge.schemas.tags import CLOSE, OPEN, TAG_NAMES

VISION = ("<|vision_start|>", "<|vision_end|>", "<|video_pad|>", "<|image_pad|>", "<|vision_pad|>")
"""What only the runtime may write. Tokenizers without the last one are sound, too."""
NEEDED = VISION[:4]
TAGS = tuple(tag for name in TAG_NAMES for tag in (OPEN[name], CLOSE[name]))
PLACE = "\ue000prompt\ue000"
"""Where the prompt stands in a chat template; no tokenizer's template holds it."""
WRITTEN_BY_US = "<think>"
"""Templates of models that always think put this in front of the answer; here the policy writes it itself."""


@dataclass(frozen=True)
class Vocabulary:
    """A tokenizer, and the names that it knows."""

    tokenizer: Any
    where: str
    """Where it comes from, for messages."""

    def id(self, token: str) -> int:
        """The id of one token; an error where it is none."""
        found = self.find(token)
        if found is None:
            mend = (
                "take a Qwen3-VL checkpoint" if token in NEEDED else "add the tags: dmforge.generators.student.load.load does"
            )
            raise InputError(f"its tokenizer doesn't know {token}", where=self.where, mend=mend)
        return found

    def find(self, token: str) -> int | None:
        return self.tokenizer.get_vocab().get(token)

    def encode(self, text: str) -> list[int]:
        """The tokens of a text as it stands: nothing is put before or behind it."""
        return self.tokenizer.encode(text, add_special_tokens=False)

    def decode(self, ids: list[int]) -> str:
        """The text that was written, tags and all."""
        return self.tokenizer.decode(ids, skip_special_tokens=False, clean_up_tokenization_spaces=False)

    def without_tags(self) -> list[str]:
        """Tags that are not one token."""
        return [tag for tag in TAGS if self.find(tag) is None]

    def __len__(self) -> int:
        """Tokens that have a name."""
        return len(self.tokenizer)

    @cached_property
    def end(self) -> int:
        """What a policy ends its turn with."""
        if self.tokenizer.eos_token_id is None:
            raise InputError("its tokenizer names no end of a turn", where=self.where, mend="set eos_token to <|im_end|>")
        return int(self.tokenizer.eos_token_id)

    @cached_property
    def padding(self) -> int:
        return self.end if self.tokenizer.pad_token_id is None else int(self.tokenizer.pad_token_id)

    @cached_property
    def video_pad(self) -> int:
        """Stands for one visual token."""
        return self.id("<|video_pad|>")

    @cached_property
    def look_end(self) -> int:
        """Where the runtime takes over."""
        return self.id(CLOSE["fps"])

    @cached_property
    def vision(self) -> NDArray[np.int64]:
        """Tokens that no policy may write."""
        found = [self.find(token) for token in VISION]
        return np.array([token for token in found if token is not None], np.int64)

    def unwritable(self, rows: int) -> NDArray[np.int64]:
        """What is banned from a model with so many rows: vision tokens, and ids that no token has."""
        return np.concatenate([self.vision, np.arange(len(self), rows)])

    @cached_property
    def frame(self) -> tuple[str, str]:
        """What stands before a prompt and behind it, by the tokenizer's own chat template."""
        if not self.tokenizer.chat_template:
            raise InputError("it has no chat template", where=self.where, mend="put chat_template.jinja beside the tokenizer")
        turn = [{"role": "user", "content": PLACE}]
        text = self.tokenizer.apply_chat_template(turn, tokenize=False, add_generation_prompt=True)
        before, place, behind = text.partition(PLACE)
        if not place:
            mend = "take the template of a Qwen3-VL checkpoint"
            raise InputError("its chat template leaves out what the user says", where=self.where, mend=mend)
        return before, behind.rstrip().removesuffix(WRITTEN_BY_US) if WRITTEN_BY_US in behind else behind
