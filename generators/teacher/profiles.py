"""What is known of providers: where they are, which parameters they take, and how each is told how much to think.

A profile is a beginning: what an endpoint refuses is left out or named otherwise as it says so (`request_shape`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Literal

from dmforge.schemas.config import nearest
from dmforge.schemas.errors import InputError

Effort = str | int
Structure = Literal["narrow schema", "plain schema", "json_object", "prompt"]
STRUCTURES: tuple[Structure, ...] = ("narrow schema", "plain schema", "json_object", "prompt")
"""How the form of a reply is asked for, from what binds most to what binds least. `narrow`: with the question's bounds."""
LimitName = Literal["max_completion_tokens", "max_tokens"]
ThinkingStyle = Literal["reasoning_effort", "reasoning", "thinking", "enable_thinking", "chat_template_kwargs"]
EFFORT_TOKENS: Mapping[str, int] = MappingProxyType({"none": 0, "minimal": 512, "low": 1024, "medium": 4096, "high": 16384})
"""Tokens of an effort, where a provider takes a number only."""


@dataclass(frozen=True, slots=True)
class BatchLimits:
    """How large a batch of requests may be."""

    requests: int = 50_000
    megabytes: int = 190
    """Of the file with the requests."""


@dataclass(frozen=True, slots=True)
class Profile:
    """What is known of one provider."""

    checked: str
    """When it was tried, and against what; or that it wasn't."""
    base_url: str = ""
    """Where it is, where the recipe doesn't say otherwise."""
    api_key_env: str = ""
    """The variable of the environment that usually holds the key."""
    limit_name: LimitName = "max_completion_tokens"
    structure: Structure = "narrow schema"
    takes_seed: bool = True
    thinking: ThinkingStyle = "reasoning_effort"
    batches: BatchLimits | None = None
    """Of its batches, in the shape that OpenAI gave them; None where it has none."""

    def thinking_parameters(self, reasoning: Effort | None) -> dict[str, Any]:
        """The parameters by which this provider is told how much to think."""
        if reasoning is None:
            return {}
        tokens = EFFORT_TOKENS[reasoning] if isinstance(reasoning, str) else reasoning
        effort = reasoning if isinstance(reasoning, str) else _nearest_effort(reasoning)
        match self.thinking:
            case "reasoning_effort":
                return {"reasoning_effort": effort}
            case "reasoning":
                return {"reasoning": {"effort": reasoning} if isinstance(reasoning, str) else {"max_tokens": reasoning}}
            case "thinking":
                return {"thinking": {"type": "enabled", "budget_tokens": max(1024, tokens)} if tokens else {"type": "disabled"}}
            case "enable_thinking":
                return {"enable_thinking": tokens > 0, **({"thinking_budget": tokens} if tokens else {})}
            case "chat_template_kwargs":
                return {"chat_template_kwargs": {"enable_thinking": tokens > 0}}


UNTRIED = "not tried; by its documentation, 2026-11"
PROFILES: Mapping[str, Profile] = MappingProxyType({
    "openai": Profile(UNTRIED, "https://api.openai.com/v1", batches=BatchLimits()),
    "gemini": Profile(
        UNTRIED,
        "https://generativelanguage.googleapis.com/v1beta/openai", "GEMINI_API_KEY",
        takes_seed=False,
    ),
    "anthropic": Profile(
        UNTRIED,
        "https://api.anthropic.com/v1", "ANTHROPIC_API_KEY",
        structure="prompt", takes_seed=False, thinking="thinking",
    ),
    "openrouter": Profile(
        UNTRIED,
        "https://openrouter.ai/api/v1", "OPENROUTER_API_KEY",
        limit_name="max_tokens", thinking="reasoning",
    ),
    "vllm": Profile(
        "2026-11-29, vLLM 0.32 on a CPU, a random Qwen3-VL: schemas, 90 images in a request, frames as a video (tests/vllm)",
        "http://127.0.0.1:8000/v1", thinking="chat_template_kwargs",
    ),
    "llama.cpp": Profile(
        "2026-11-29, llama.cpp's server of xllamacpp 2026.10 on a CPU, SmolLM2-135M: texts, by all three forms (tests/llm)",
        "http://127.0.0.1:8080/v1", limit_name="max_tokens", thinking="chat_template_kwargs",
    ),
    "ollama": Profile(UNTRIED, "http://127.0.0.1:11434/v1", limit_name="max_tokens"),
    "dashscope": Profile(
        UNTRIED,
        "https://dashscope-intl.aliyuncs.com/compatible-mode/v1", "DASHSCOPE_API_KEY",
        limit_name="max_tokens", structure="json_object", thinking="enable_thinking", batches=BatchLimits(50_000, 480),
    ),
})  # fmt: skip
"""By the names that a recipe may give as `profile`."""
UNKNOWN_PROVIDER = Profile("nothing is known of it", batches=BatchLimits())


def find_profile(name: str) -> Profile:
    """The profile of this name; of an unnamed one nothing is known."""
    if name and name not in PROFILES:
        raise InputError(f"there is no profile {name!r}", where="profile", hint=nearest(name, sorted(PROFILES)))
    return PROFILES[name] if name else UNKNOWN_PROVIDER


def _nearest_effort(tokens: int) -> str:
    return next((name for name, most in EFFORT_TOKENS.items() if tokens <= most), "high")
