"""Students in Python: trained, evaluated, rolled out. torch is imported when the first of these is called."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from dmforge.curation.shards.examples import Example
from dmforge.generators.inference.engines.engine import Engine, Sampling
from dmforge.generators.inference.engines.engine_settings import TransformersSettings, VllmSettings
from dmforge.generators.inference.rollout import RolloutLimits, RolloutRequest, RolloutResult, roll
from dmforge.generators.inference.sample_request import sample_request
from dmforge.schemas.config import parse_config
from dmforge.schemas.dialects.dialect_name import DialectName
from dmforge.schemas.errors import InputError
from dmforge.trainers.training_result import TrainingResult
from dmforge.trainers.training_settings import SettingsSource, read_sft

if TYPE_CHECKING:
    from dmforge.trainers.evaluate import Evaluation
    from dmforge.trainers.memory.memory_plan import MemoryPlan
    from dmforge.trainers.merged_checkpoint import MergedCheckpoint

Settings = str | Path | Mapping[str, Any]
"""A TOML file, or what stands in one: then relative folders start from the current one."""
WAYS = ("sft", "sdgrpo")


def train(way: Literal["sft", "sdgrpo"] | str, settings: Settings) -> TrainingResult:
    """Train a student on packed corpora. Whatever stops it, the same call goes on from the last checkpoint."""
    if way == "sft":
        sft_settings = read_sft(_source(settings))
        require_train_extra()
        from dmforge.trainers.sft import train as train_by_sft

        return train_by_sft(sft_settings)
    if way == "sdgrpo":
        from dmforge.trainers.sdgrpo.sdgrpo_settings import read_sdgrpo

        sdgrpo_settings = read_sdgrpo(_source(settings))
        require_train_extra()
        from dmforge.trainers.sdgrpo.sdgrpo import train as train_by_sdgrpo

        return train_by_sdgrpo(sdgrpo_settings)
    raise _unknown_way(way)


def plan_training(way: Literal["sft", "sdgrpo"] | str, settings: Settings) -> MemoryPlan:
    """What each rank of a training needs of its device's memory: as many ranks as `torchrun` says, else one."""
    source = _source(settings)
    require_train_extra()
    from dmforge.trainers.memory.memory_plan import plan_memory
    from dmforge.trainers.sdgrpo.sdgrpo_settings import read_sdgrpo

    if way not in WAYS:
        raise _unknown_way(way)
    return plan_memory(read_sft(source) if way == "sft" else read_sdgrpo(source), int(os.environ.get("WORLD_SIZE", "1")))


def evaluate(settings: Settings) -> Evaluation:
    """Roll a checkpoint out on samples that it has not seen, and score where it looks and what it answers."""
    from dmforge.trainers.evaluation_settings import read_evaluation

    evaluation_settings = read_evaluation(_source(settings))
    require_train_extra()
    from dmforge.trainers.evaluate import evaluate as evaluate_checkpoint

    return evaluate_checkpoint(evaluation_settings)


def merge_adapters(
    checkpoint: str | Path, folder: str | Path, *, weights: Literal["float32", "bfloat16"] = "float32"
) -> MergedCheckpoint:
    """Write a checkpoint of adapters as an ordinary one, with the adapters in its weights."""
    require_train_extra()
    from dmforge.trainers.merged_checkpoint import merge_adapters as merge

    return merge(Path(checkpoint), Path(folder), weights)


def open_engine(checkpoint: str | Path, *, dialect: DialectName = "span", **settings: Any) -> Engine:
    """An engine that continues transcripts with a checkpoint, which writes its looks in a dialect; close it when done.
    `kind="vllm"` takes that of vLLM."""
    config_class = VllmSettings if settings.get("kind") == "vllm" else TransformersSettings
    engine_settings = parse_config(config_class, settings, where="open_engine")
    require_train_extra()
    from dmforge.generators.inference.engines.open_engine import open_engine as open_by_settings

    return open_by_settings(engine_settings, str(checkpoint), dialect)


def rollout(
    engine: Engine,
    requests: Sequence[RolloutRequest | Example],
    *,
    temperature: float = 0.0,
    seed: int = 0,
    max_tokens: int = 512,
    max_looks: int = 1,
    max_visual_tokens: int = 1 << 20,
) -> list[RolloutResult]:
    """What a policy writes, looks and all. Samples of a corpus are sampled as said here, requests as they say themselves."""
    sampling = Sampling(temperature, seed, max_tokens)
    rollout_requests = [
        sample_request(request_or_example, sampling) if isinstance(request_or_example, Example) else request_or_example
        for request_or_example in requests
    ]
    return roll(engine, rollout_requests, RolloutLimits(max_looks, max_visual_tokens))


def require_train_extra() -> None:
    """Refuse to go on where the packages that a student needs are not installed."""
    missing_packages = [
        package_name for package_name in ("torch", "transformers", "accelerate", "peft") if find_spec(package_name) is None
    ]
    if missing_packages:
        raise InputError(f"not installed: {', '.join(missing_packages)}", where="train", hint="pip install 'dmforge[train]'")


def _unknown_way(way: str) -> InputError:
    return InputError(f"there is no training called {way!r}", where="train", hint=f"known here: {', '.join(WAYS)}")


def _source(settings: Settings) -> SettingsSource:
    return settings if isinstance(settings, Mapping) else Path(settings)
