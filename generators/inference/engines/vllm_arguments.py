"""The arguments that every vLLM is started with, in a process of ours or as a server: only with them are tokens, frames and
draws exact."""

from __future__ import annotations

from typing import Any

from dmforge.generators.video_part import PROCESSING

ENVIRONMENT = {"VLLM_USE_V2_MODEL_RUNNER": "0", "VLLM_NO_USAGE_STATS": "1"}
"""The first: processors of logits, as `vllm_draws` is one, have another form in vLLM's second runner."""
OWN_PROCESS = {
    "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
    "VLLM_LOGGING_LEVEL": "WARNING",
    "TORCHELASTIC_USE_AGENT_STORE": "False",
    "LOCAL_RANK": "0",
}
"""All of the engine in the one process that we watch. The last two: beside a trainer that torchrun started it is no part of
what torchrun started, and must neither wait for that nor count itself among it."""


def exact(max_looks: int) -> dict[str, Any]:
    """Arguments without which rows are not continued exactly, by the names of `EngineArgs`; a server's options are called the
    same."""
    return {
        "logits_processors": ["dmforge.generators.inference.engines.vllm_token_sampling:TokenSamplingProcessor"],
        "logprobs_mode": "processed_logits",
        "limit_mm_per_prompt": {"image": 0, "video": 1 + max_looks},
        "mm_processor_kwargs": PROCESSING,
        "generation_config": "vllm",
        "enable_prefix_caching": True,
        "async_scheduling": False,
    }
