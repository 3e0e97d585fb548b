"""A logits processor for vLLM: draws the tokens of our rows as all our engines do, and leaves other rows alone.

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

from dmforge.generators.inference.engines.messages import PLACE, SEED, TEMPERATURE
from dmforge.generators.inference.engines.token_sampling import RandomStream, pick
from dmforge.generators.student.vocabulary import Vocabulary


@dataclass(slots=True)
class _Row:
    temperature: float
    stream: RandomStream
    tokens_before: int
    output_ids: Sequence[int]
    """vLLM's own list: it grows."""


class TokenSamplingProcessor(LogitsProcessor):  # pyright: ignore[reportUntypedBaseClass]
    """The logits processor itself: one for each vLLM."""

    def __init__(self, vllm_config: Any, device: torch.device, is_pin_memory: bool) -> None:
        checkpoint = vllm_config.model_config.tokenizer
        self._vocabulary = Vocabulary(AutoTokenizer.from_pretrained(checkpoint), where=str(checkpoint))
        self._device = device
        self._banned: torch.Tensor | None = None
        self._rows: dict[int, _Row] = {}

    def is_argmax_invariant(self) -> bool:
        return False

    def update_state(self, batch_update: Any) -> None:
        process_dict_updates(self._rows, batch_update, _row_of)

    def apply(self, logits: torch.Tensor) -> torch.Tensor:
        if not self._rows:
            return logits
        if self._banned is None:
            self._banned = torch.from_numpy(self._vocabulary.unwritable(logits.shape[1])).to(self._device)
        batch_indices, sampled_rows = list(self._rows), list(self._rows.values())
        uniform_draws = [
            sampled_row.stream[sampled_row.tokens_before + len(sampled_row.output_ids)] for sampled_row in sampled_rows
        ]
        token_ids, log_probs = pick(
            logits[batch_indices], [sampled_row.temperature for sampled_row in sampled_rows], uniform_draws, self._banned
        )
        logits[batch_indices] = float("-inf")
        logits[batch_indices, token_ids] = log_probs
        return logits


def _row_of(sampling_params: Any, prompt_ids: object, output_ids: Sequence[int]) -> _Row | None:
    extra_args = sampling_params.extra_args or {}
    if SEED not in extra_args:
        return None
    return _Row(float(extra_args[TEMPERATURE]), RandomStream(int(extra_args[SEED])), int(extra_args[PLACE]), output_ids)
