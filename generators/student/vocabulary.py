"""Looks up token ids by name in the tokenizer; no id is hard-coded."""

from __future__ import annotations

import json
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dmforge.schemas.dialects.dialect_name import DialectName
from dmforge.schemas.dialects.known_dialects import DIALECTS
from dmforge.schemas.errors import InputError
from dmforge.schemas.looks import Look, Window
from dmforge.schemas.tags import CLOSE, OPEN, TAG_NAMES

VISION = ("<|vision_start|>", "<|vision_end|>", "<|video_pad|>", "<|image_pad|>", "<|vision_pad|>")
"""Tokens that only the runtime may write. Tokenizers without the last one are sound, too."""
NEEDED = VISION[:4]
TAGS = tuple(tag for name in TAG_NAMES for tag in (OPEN[name], CLOSE[name]))
PLACE = "\ue000prompt\ue000"
"""A placeholder for the prompt in a chat template; no template holds it by itself."""
WRITTEN_BY_US = "<think>"
"""Templates of models that always think put this in front of the answer; here the policy writes it itself."""


@dataclass(frozen=True)
class Vocabulary:
    """A tokenizer with the ids of the tokens that are needed here."""

    tokenizer: Any
    where: str
    """Where it comes from, for messages."""
    dialect: DialectName = "span"
    """The form in which the student writes its looks; prompts tell it of the functions that this dialect calls."""

    def id(self, token: str) -> int:
        """The id of a token; raises where the tokenizer doesn't know it."""
        token_id = self.find(token)
        if token_id is None:
            hint = (
                "take a Qwen3-VL checkpoint"
                if token in NEEDED
                else "add the tags: dmforge.generators.student.load_student.load does"
            )
            raise InputError(f"the tokenizer doesn't know {token}", where=self.where, hint=hint)
        return token_id

    def find(self, token: str) -> int | None:
        return self.tokenizer.get_vocab().get(token)

    def encode(self, text: str) -> list[int]:
        """The tokens of a text as it stands: nothing is put before or behind it."""
        return self.tokenizer.encode(text, add_special_tokens=False)

    def decode(self, ids: list[int]) -> str:
        """The text that was written, tags and all."""
        return self.tokenizer.decode(ids, skip_special_tokens=False, clean_up_tokenization_spaces=False)

    def without_tags(self) -> list[str]:
        """Tags that the tokenizer doesn't know as one token."""
        return [tag for tag in TAGS if self.find(tag) is None]

    def __len__(self) -> int:
        """The number of tokens."""
        return len(self.tokenizer)

    @cached_property
    def end(self) -> int:
        """The token with which a policy ends its turn."""
        if self.tokenizer.eos_token_id is None:
            raise InputError("the tokenizer names no end of a turn", where=self.where, hint="set eos_token to <|im_end|>")
        return int(self.tokenizer.eos_token_id)

    @cached_property
    def padding(self) -> int:
        return self.end if self.tokenizer.pad_token_id is None else int(self.tokenizer.pad_token_id)

    @cached_property
    def video_pad(self) -> int:
        """The token that stands for one visual token."""
        return self.id("<|video_pad|>")

    @cached_property
    def look_end(self) -> int:
        """The token that ends a look, `</fps>`: there the runtime takes over."""
        return self.id(CLOSE["fps"])

    @cached_property
    def vision(self) -> NDArray[np.int64]:
        """Tokens that no policy may write."""
        token_ids = [self.find(vision_token) for vision_token in VISION]
        return np.array([token_id for token_id in token_ids if token_id is not None], np.int64)

    def unwritable(self, embedding_rows: int) -> NDArray[np.int64]:
        """Ids that a policy must not write, for a model with so many embeddings: vision tokens, and ids without a token."""
        return np.concatenate([self.vision, np.arange(len(self), embedding_rows)])

    @cached_property
    def frame(self) -> tuple[str, str]:
        """The text before a prompt and behind it, from the tokenizer's own chat template; the functions of the dialect stand
        before it, as that template tells of them."""
        if not self.tokenizer.chat_template:
            raise InputError(
                "the tokenizer has no chat template", where=self.where, hint="put chat_template.jinja beside the tokenizer"
            )
        placeholder_messages = [{"role": "user", "content": PLACE}]
        functions = [json.loads(tool) for tool in DIALECTS[self.dialect].tools]
        template_text = self.tokenizer.apply_chat_template(
            placeholder_messages, tools=functions or None, tokenize=False, add_generation_prompt=True
        )
        prefix, placeholder, suffix = template_text.partition(PLACE)
        if not placeholder:
            hint = "take the template of a Qwen3-VL checkpoint"
            raise InputError("the chat template leaves out what the user says", where=self.where, hint=hint)
        untold = next((name for tool in functions if (name := tool["function"]["name"]) not in prefix), None)
        if untold is not None:
            hint = f"take a Qwen3-VL checkpoint, whose template shows `tools`: prompts in `{self.dialect}` tell of functions"
            raise InputError(f"the chat template tells nothing of the function {untold}", where=self.where, hint=hint)
        return prefix, suffix.rstrip().removesuffix(WRITTEN_BY_US) if WRITTEN_BY_US in suffix else suffix

    @property
    def function_tokens(self) -> int:
        """The tokens before a prompt that tells of functions. Costs of samples are without: not every student is told."""
        return len(self.encode(self.frame[0])) if DIALECTS[self.dialect].tools else 0

    @property
    def turn_tokens(self) -> int:
        """The tokens that a runtime writes around the clip of a look; none where a look stands inside a thought."""
        whole_video = Look(Window(0, 1), Fraction(1))
        return sum(len(self.encode(piece.text)) for piece in DIALECTS[self.dialect].answered((whole_video,)) if piece.text)
