"""A model's weights by their names in a checkpoint, with adapters merged in and nothing changed in place."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch.distributed.tensor import DTensor

from dmforge.generators.student.families import lies_across


def whole_tensor(tensor: torch.Tensor) -> torch.Tensor:
    """A tensor with the parts that other ranks hold; one that isn't spread over ranks as it is."""
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


@dataclass(frozen=True, slots=True)
class LiveWeight:
    """A weight, and the adapter layer around it, if there is one."""

    parameter: torch.Tensor
    layer: Any = None
    lies_across: bool = False
    """Whether a published checkpoint has its last two dimensions exchanged."""

    @property
    def shape(self) -> list[int]:
        """As it is published."""
        own_shape = list(self.parameter.shape)
        return [*own_shape[:-2], own_shape[-1], own_shape[-2]] if self.lies_across else own_shape

    def published(self) -> torch.Tensor:
        """Its value as a published checkpoint has it."""
        return self.value().transpose(-1, -2) if self.lies_across else self.value()

    def value(self) -> torch.Tensor:
        """The weight with its adapters merged in; nothing is changed in place. Where ranks hold parts, all have to ask."""
        merged_weight = whole_tensor(self.parameter.detach())
        if hasattr(self.layer, "get_merged_weights"):  # rows that learn on their own
            return self.layer.get_merged_weights(self.layer.active_adapters).detach()
        if self.layer is not None:
            for adapter_name in self.layer.active_adapters:
                merged_weight = merged_weight + self.layer.get_delta_weight(adapter_name)
        return merged_weight


def weights_of(model: Any) -> dict[str, LiveWeight]:
    """All weights by their names in a checkpoint; tied weights stand there once."""
    unwrapped_model = plain_model(model)
    adapted_layers = {
        module_name: adapted_layer
        for module_name, adapted_layer in unwrapped_model.named_modules()
        if hasattr(adapted_layer, "get_delta_weight") or hasattr(adapted_layer, "get_merged_weights")
    }
    weight_by_name: dict[str, LiveWeight] = {}
    for weight_name, parameter in unwrapped_model.named_parameters():
        adapted_name, _, parameter_name = weight_name.rpartition(".base_layer.")
        if adapted_name:
            weight_by_name[f"{adapted_name.removesuffix('.token_adapter')}.{parameter_name}"] = LiveWeight(
                parameter, adapted_layers[adapted_name] if parameter_name == "weight" else None
            )
        elif ".lora_" not in weight_name and ".trainable_tokens_" not in weight_name:
            across = lies_across(unwrapped_model.config, weight_name)
            weight_by_name[weight_name] = LiveWeight(parameter, lies_across=across)
    return weight_by_name


def plain_model(model: Any) -> Any:
    """The model without the wrapper of its adapters."""
    return model.get_base_model() if hasattr(model, "get_base_model") else model
