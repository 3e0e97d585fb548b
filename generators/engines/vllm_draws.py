"""In vLLM's process: draws the tokens of our rows as all of our engines do. Rows of others it leaves alone.

vLLM's own sampler could ban tokens, and could tell log-probabilities, but only before the temperature or after the ban. So
what is drawn is drawn here, from vLLM's logits: the token keeps its log-probability in place of its logit and all others are
ruled out, so that vLLM, told to be greedy and to say processed logits, takes the token and says the log-probability.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from transformers import AutoTokenizer
from vllm.v1.sample.logits_processor.builtin import process_dict_updates  # pyright: ignore
from vllm.v1.sample.logits_processor.interface import LogitsProcessor  # pyright: ignore

from dmforge.generators.engines.draws import Stream, pick
from dmforge.generators.engines.legs import PLACE, SEED, TEMPERATURE
from dmforge.generators.student.vocabulary import Vocabulary


@dataclass(slots=True)
class _Row:
    temperature: float
    draws: Stream
    place: int
    written: Sequence[int]
    """vLLM's own list: it grows."""


class Draws(LogitsProcessor):  # pyright: ignore[reportUntypedBaseClass]
    """One for each vLLM."""

    def __init__(self, vllm_config: Any, device: torch.device, is_pin_memory: bool) -> None:
        place = vllm_config.model_config.tokenizer
        self._vocabulary = Vocabulary(AutoTokenizer.from_pretrained(place), where=str(place))
        self._device = device
        self._banned: torch.Tensor | None = None
        self._rows: dict[int, _Row] = {}

    def is_argmax_invariant(self) -> bool:
        return False

    def update_state(self, batch_update: Any) -> None:
        process_dict_updates(self._rows, batch_update, _row)

    def apply(self, logits: torch.Tensor) -> torch.Tensor:
        if not self._rows:
            return logits
        if self._banned is None:
            self._banned = torch.from_numpy(self._vocabulary.unwritable(logits.shape[1])).to(self._device)
        at, rows = list(self._rows), list(self._rows.values())
        draws = [row.draws[row.place + len(row.written)] for row in rows]
        tokens, log_probs = pick(logits[at], [row.temperature for row in rows], draws, self._banned)
        logits[at] = float("-inf")
        logits[at, tokens] = log_probs
        return logits


def _row(params: Any, prompt: object, written: Sequence[int]) -> _Row | None:
    told = params.extra_args or {}
    if SEED not in told:
        return None
    return _Row(float(told[TEMPERATURE]), Stream(int(told[SEED])), int(told[PLACE]), written)
