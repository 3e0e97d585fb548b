"""Opens the engine that settings name, for a checkpoint."""

from __future__ import annotations

from dmforge.generators.engines.contract import Engine
from dmforge.generators.engines.settings import EngineSettings, ServerSettings, VllmSettings


def open_engine(settings: EngineSettings, checkpoint: str) -> Engine:
    """Open an engine; the caller closes it. `checkpoint` is a folder, or an id on the Hub; with `openai` the server has loaded
    the same, and only its tokenizer is read here."""
    if isinstance(settings, VllmSettings):
        from dmforge.generators.engines.vllm import open_vllm

        return open_vllm(settings, checkpoint)
    if isinstance(settings, ServerSettings):
        from dmforge.generators.engines.openai import open_server

        return open_server(settings, checkpoint)
    from dmforge.generators.engines.transformers import open_transformers

    return open_transformers(settings, checkpoint)
