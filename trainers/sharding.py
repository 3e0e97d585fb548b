"""Students whose weights, gradients and optimizer are spread over all ranks (FSDP2): each holds a part of every weight.

A unit is gathered when its forward or backward begins, and let go when it ends: each block of the language model, each block
of the eye, the eye's rest, and what remains, which is rows of words and the last norm. All ranks gather together. So whatever
lets them go their own ways, as rollouts do, happens with all weights gathered once (`whole`), in the precision of updates.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch.distributed.checkpoint.state_dict import StateDictOptions, get_model_state_dict, set_model_state_dict
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, MixedPrecisionPolicy, fully_shard

WHOLE_STATE = StateDictOptions(full_state_dict=True, cpu_offload=True)


def shard(model: Any, device: torch.device, ranks: int, *, bf16: bool) -> None:
    """Spread a model over all ranks, in place; each leaves its part on its own device."""
    mesh = init_device_mesh(device.type, (ranks,))
    precision = MixedPrecisionPolicy(torch.bfloat16, torch.float32) if bf16 else MixedPrecisionPolicy()
    for unit in units_of(model):
        fully_shard(unit, mesh=mesh, mp_policy=precision)
    model._is_accelerate_prepared = True  # else ranks would average what they have averaged already


@contextmanager
def whole(model: Any) -> Generator[None]:
    """All weights are gathered on each rank, and stay until the end: forwards wait for nobody. Of a model that isn't spread
    nothing has to be."""
    units = [module for module in model.modules() if isinstance(module, FSDPModule)]
    for unit in units:
        unit.set_reshard_after_forward(False, recurse=False)
        unit.unshard()
    try:
        yield
    finally:
        for unit in units:
            unit.set_reshard_after_forward(unit is not model, recurse=False)  # as `fully_shard` does by itself
            unit.reshard()


def whole_state(model: Any) -> dict[str, Any]:
    """All weights on the first rank, none on others; all ranks have to call it. Tied weights stand there once: gathered twice,
    they no longer share any memory by which `save_pretrained` would know them."""
    own_names = {name for name, _ in (*model.named_parameters(), *model.named_buffers())}
    return {name: weight for name, weight in get_model_state_dict(model, options=WHOLE_STATE).items() if name in own_names}


def load_state(model: Any, weight_by_name: Mapping[str, Any]) -> None:
    """Each rank takes its part of weights that it has read in whole."""
    set_model_state_dict(model, dict(weight_by_name), options=StateDictOptions(full_state_dict=True))


def units_of(model: Any) -> Iterator[Any]:
    """What is gathered together; inner units come before those around them, the model itself last."""
    yield from model.model.visual.blocks
    yield model.model.visual
    yield from model.model.language_model.layers
    yield model
