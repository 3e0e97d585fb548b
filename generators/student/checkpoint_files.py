"""The files that loading a checkpoint reads, with digests of their bytes: results depend on these, not on where they lie."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from dmforge.curation.io.atomic import disk_errors
from dmforge.curation.io.known_checksums import known_sha256

CONFIG = "config.json"
ADAPTER_CONFIG, BASE = "adapter_config.json", "base.json"
READ = frozenset({".json", ".jinja", ".txt", ".model", ".safetensors"})
"""Suffixes of the files that loading a checkpoint reads: configurations, tokenizer, chat template, weights."""
OF_TRAINING = frozenset({"trainer_state.json", "reader.json"})
"""Files with such a suffix that only training reads; weights of optimizers have other suffixes."""
PLACES: Mapping[str, str] = MappingProxyType({ADAPTER_CONFIG: "base_model_name_or_path", BASE: "checkpoint"})
"""Files of adapters, with the key that says where their base lies: the digest of its bytes counts, the place doesn't."""


def file_digests(folder: Path) -> tuple[tuple[str, str], ...]:
    """Name and sha256 of every file that loading a checkpoint reads. In one process each is read once, while it looks the
    same."""
    with disk_errors(folder):
        checkpoint_files = sorted(
            checkpoint_file
            for checkpoint_file in folder.iterdir()
            if checkpoint_file.suffix in READ and checkpoint_file.name not in OF_TRAINING
        )
        return tuple(
            (checkpoint_file.name, _sha256_wherever(checkpoint_file))
            for checkpoint_file in checkpoint_files
            if checkpoint_file.is_file()
        )


def is_adapted(checkpoint: str | Path) -> bool:
    """Whether a folder holds adapters, whose base lies elsewhere."""
    return (Path(checkpoint) / ADAPTER_CONFIG).is_file()


def _sha256_wherever(checkpoint_file: Path) -> str:
    """The sha256 of a file, or of what it says apart from a place."""
    place = PLACES.get(checkpoint_file.name)
    try:
        settings = dict(json.loads(checkpoint_file.read_bytes())) if place else {}
    except (ValueError, TypeError):  # no such file as we know: who loads it says so
        place, settings = None, {}
    if place is None:
        return known_sha256(checkpoint_file)
    settings.pop(place, None)
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()
