"""Gated delta layers, which Qwen3.5 has in place of most of its attention: over packed rows, branches and kept states.

Such a layer reads a text from left to right, through a short convolution, into a state of fixed size; there is nothing to mask.
So transformers' own layer takes a packed row for one text where no kernel for GPUs is installed, and padding in front of a
row lets its kept state decay. Here each text of a row is a row of its own between the projections, padded in front to one
of like length; padding neither decays nor writes anything; and a branch begins with the state behind the tokens it shares.
The rule itself, and the kernels for it, are transformers'.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any, NamedTuple, Protocol

import torch
from torch.nn.functional import conv1d, silu, softplus
from transformers.models.qwen3_5.modeling_qwen3_5 import (
    Qwen3_5GatedDeltaNet,
    torch_chunk_gated_delta_rule,
    torch_recurrent_gated_delta_rule,
)
from transformers.models.qwen3_5_moe.modeling_qwen3_5_moe import Qwen3_5MoeGatedDeltaNet

from dmforge.generators.student.packed_trees import PackedTree, trees_in


class DeltaState(NamedTuple):
    """What a layer remembers of some rows."""

    inputs: torch.Tensor
    """rows x tokens x channels: the last inputs of the convolution, one fewer than it is wide."""
    memory: torch.Tensor
    """rows x heads x keys x values, in float32."""


class KeptStates(Protocol):
    """A cache that keeps the states of rows between forwards."""

    new_token_counts: Sequence[int]
    """The new tokens of each row of the batch; they stand at its right end."""

    def delta_state(self, layer_index: int) -> DeltaState | None:
        """The state of the rows of the batch; None before the first forward."""
        ...

    def keep_delta_state(self, layer_index: int, state: DeltaState) -> None: ...


class _Inputs(NamedTuple):
    """What the projections make of tokens, each rows x tokens x values."""

    mixed: torch.Tensor
    """Queries, keys and values before their convolution."""
    log_decay: torch.Tensor
    write_share: torch.Tensor


@dataclass(frozen=True, slots=True)
class _Text:
    """A stretch of a packed row that is read in one go."""

    start: int
    length: int
    behind: int | None = None
    """The text whose state it begins with."""


class _ReadsTexts:
    """A gated delta layer that knows where texts of a row begin, and our cache; in all else it is its class."""

    def forward(
        self: Any,
        hidden_states: torch.Tensor,
        cache_params: Any = None,
        attention_mask: torch.Tensor | None = None,
        text_positions: torch.Tensor | None = None,
        **more: Any,
    ) -> torch.Tensor:
        kept_states: KeptStates | None = cache_params if hasattr(cache_params, "keep_delta_state") else None
        if kept_states is None and (cache_params is not None or attention_mask is not None):
            return super().forward(hidden_states, cache_params, attention_mask, **more)  # pyright: ignore
        inputs = _Inputs(
            self.in_proj_qkv(hidden_states),
            -self.A_log.float().exp() * softplus(self.in_proj_a(hidden_states).float() + self.dt_bias),
            self.in_proj_b(hidden_states).sigmoid(),
        )
        if kept_states is not None:
            values = _read_kept(self, inputs, kept_states)
        elif text_positions is not None and len(hidden_states) == 1:
            values = _read_packed(self, inputs, trees_in(text_positions))
        else:
            values, _ = _read(self, inputs, [hidden_states.shape[1]] * len(hidden_states), None)
        gate = self.in_proj_z(hidden_states).reshape(-1, self.head_v_dim)
        return self.out_proj(self.norm(values.reshape(-1, self.head_v_dim), gate).reshape(*hidden_states.shape[:2], -1))


class _DeltaLayer(_ReadsTexts, Qwen3_5GatedDeltaNet): ...


class _DeltaLayerOfMixture(_ReadsTexts, Qwen3_5MoeGatedDeltaNet): ...


OURS: Mapping[type, type] = {Qwen3_5GatedDeltaNet: _DeltaLayer, Qwen3_5MoeGatedDeltaNet: _DeltaLayerOfMixture}


def use_delta_layers(model: Any) -> None:
    """Switch a model's gated delta layers to ours, weights and names as they are. One without any is left alone."""
    for layer in model.model.language_model.layers:
        delta_layer: Any = getattr(layer, "linear_attn", None)
        our_class = OURS.get(type(delta_layer))
        if our_class is not None:
            delta_layer.__class__ = our_class
            layer.register_forward_pre_hook(_hand_on_text_positions, with_kwargs=True)


def _hand_on_text_positions(layer: Any, inputs: Any, named_inputs: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    """A decoder layer tells its attention the positions in the text, and its delta layer nothing."""
    return inputs, {**named_inputs, "text_positions": named_inputs.get("position_ids")}


def _read_kept(layer: Any, inputs: _Inputs, cache: KeptStates) -> torch.Tensor:
    values, state = _read(layer, inputs, cache.new_token_counts, cache.delta_state(layer.layer_idx))
    cache.keep_delta_state(layer.layer_idx, state)
    return values


def _read_packed(layer: Any, inputs: _Inputs, trees: Sequence[PackedTree]) -> torch.Tensor:
    """Read every text of a row: first those that begin with nothing, then those that branch off."""
    texts = list(_texts_of(trees))
    state_by_text: dict[int, DeltaState] = {}
    values_by_start: dict[int, torch.Tensor] = {}
    shared = {text.behind for text in texts}
    for text_indices in _of_like_length(texts):
        length_by_text = [texts[index].length for index in text_indices]
        device = inputs.mixed.device
        columns = torch.arange(max(length_by_text), device=device) - max(length_by_text)
        ends = torch.tensor([texts[index].start + texts[index].length for index in text_indices], device=device)
        row_columns = (ends[:, None] + columns).clamp(min=0)
        rows = _Inputs(*(part[0, row_columns] for part in inputs))
        values, state = _read(layer, rows, length_by_text, _states_behind(texts, text_indices, state_by_text))
        for row, index in enumerate(text_indices):
            values_by_start[texts[index].start] = values[row, -texts[index].length :]
            if index in shared:
                state_by_text[index] = DeltaState(state.inputs[row], state.memory[row])
    return torch.cat([values_by_start[start] for start in sorted(values_by_start)])[None]


def _states_behind(
    texts: Sequence[_Text], text_indices: Sequence[int], state_by_text: Mapping[int, DeltaState]
) -> DeltaState | None:
    """The states that a group of texts begins with; None where they begin with nothing."""
    states = [state_by_text[text.behind] for text in (texts[index] for index in text_indices) if text.behind is not None]
    if not states:
        return None
    return DeltaState(torch.stack([state.inputs for state in states]), torch.stack([state.memory for state in states]))


def _texts_of(trees: Sequence[PackedTree]) -> Iterator[_Text]:
    """A tree with branches is what they share, the rest of its transcript, and the branches."""
    start, index = 0, 0
    for tree in trees:
        beginning, beginning_length = index, tree.shared if tree.branches else tree.length
        lengths = (beginning_length, *(length for length in (tree.length - beginning_length, *tree.branches) if length))
        for length in lengths:
            yield _Text(start, length, None if index == beginning else beginning)
            start, index = start + length, index + 1


def _of_like_length(texts: Sequence[_Text]) -> Iterator[list[int]]:
    """Groups of texts, none twice as long as another of its group; those that others branch off from come first."""

    def kind(index: int) -> tuple[bool, int]:
        return texts[index].behind is not None, texts[index].length.bit_length()

    for _, group in groupby(sorted(range(len(texts)), key=kind), kind):
        yield list(group)


def _read(
    layer: Any, inputs: _Inputs, token_counts: Sequence[int], state: DeltaState | None
) -> tuple[torch.Tensor, DeltaState]:
    """What a layer reads from rows whose tokens stand at the right end, and the states behind them."""
    row_count, columns, channels = inputs.mixed.shape
    past_columns = layer.conv_kernel_size - 1
    mixed, log_decay, write_share = inputs
    past = mixed.new_zeros(row_count, past_columns, channels) if state is None else state.inputs.to(mixed.dtype)
    if min(token_counts) == columns:
        wide = torch.cat([past, mixed], 1)
    else:
        first_columns = columns - torch.tensor(token_counts, device=mixed.device)[:, None]
        is_token = (torch.arange(columns, device=mixed.device) >= first_columns)[..., None]
        mixed, log_decay, write_share = (part.masked_fill(~is_token, 0) for part in (mixed, log_decay, write_share))
        past_at = (first_columns + torch.arange(past_columns, device=mixed.device))[..., None].expand_as(past)
        wide = torch.cat([torch.zeros_like(past), mixed], 1).scatter(1, past_at, past)  # right in front of a row's first token
    convolved = silu(conv1d(wide.transpose(1, 2), layer.conv1d.weight, layer.conv1d.bias, groups=channels)).transpose(1, 2)
    query, key, value = convolved.split([layer.key_dim, layer.key_dim, layer.value_dim], -1)
    query, key = (part.unflatten(-1, (-1, layer.head_k_dim)) for part in (query, key))
    values_per_key = layer.num_v_heads // layer.num_k_heads
    query, key = (part.repeat_interleave(values_per_key, 2) for part in (query, key))
    rule = torch_recurrent_gated_delta_rule if columns == 1 else torch_chunk_gated_delta_rule
    with torch.autocast(mixed.device.type, enabled=False):  # what is read and remembered is float32, trained or decoded
        values, memory = rule(
            query, key, value.unflatten(-1, (-1, layer.head_v_dim)), g=log_decay, beta=write_share,
            initial_state=None if state is None else state.memory, output_final_state=True, use_qk_l2norm_in_kernel=True,
        )  # fmt: skip
    assert memory is not None
    return values, DeltaState(wide[:, columns:], memory)
