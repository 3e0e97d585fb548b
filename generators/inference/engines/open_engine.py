"""Opens the engine that settings name, for a checkpoint."""

from __future__ import annotations

from dmforge.generators.inference.engines.engine import Engine
from dmforge.generators.inference.engines.engine_settings import EngineSettings, VllmSettings
from dmforge.generators.student.checkpoint_files import is_adapted
from dmforge.schemas.dialects.dialect_name import DialectName


def open_engine(settings: EngineSettings, checkpoint: str, dialect: DialectName = "span") -> Engine:
    """Open an engine; the caller closes it. `checkpoint` is a folder, or an id on the Hub; adapters are merged in
    memory, and mixtures that a training saved are turned there."""
    if isinstance(settings, VllmSettings):
        from dmforge.generators.student.families import is_turned

        if is_adapted(checkpoint) or is_turned(checkpoint):
            from dmforge.generators.inference.engines.weight_sync import open_merged

            return open_merged(settings, checkpoint, dialect)
        from dmforge.generators.inference.engines.vllm_engine import open_vllm

        return open_vllm(settings, checkpoint, dialect)
    from dmforge.generators.inference.engines.transformers_engine import open_transformers

    return open_transformers(settings, checkpoint, dialect)
