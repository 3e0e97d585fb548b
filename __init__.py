"""dmforge: build and judge the data that teaches a model to think with video, and train on it.

`import dmforge as dm` loads nothing but this file; a name is imported when it is used first. docs/api.md shows each.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dmforge.api.inspection import export, frames, inspect, lint, probe, verify
    from dmforge.api.learning import evaluate, merge_adapters, open_engine, rollout, train
    from dmforge.api.workspace import Workspace, init, list_recipes
    from dmforge.curation.shards.corpus import Corpus
    from dmforge.schemas.errors import DmforgeError, InputError
    from dmforge.schemas.grammar import Trajectory, parse, render

__version__ = "0.2.0"
__all__ = [
    "Corpus", "DmforgeError", "InputError", "Trajectory", "Workspace", "evaluate", "export", "frames", "init", "inspect",
    "lint", "list_recipes", "merge_adapters", "open_engine", "parse", "probe", "render", "rollout", "train", "verify",
]  # fmt: skip
MODULES = {
    "api.inspection": ("export", "frames", "inspect", "lint", "probe", "verify"),
    "api.learning": ("evaluate", "merge_adapters", "open_engine", "rollout", "train"),
    "api.workspace": ("Workspace", "init", "list_recipes"),
    "curation.shards.corpus": ("Corpus",),
    "schemas.errors": ("DmforgeError", "InputError"),
    "schemas.grammar": ("Trajectory", "parse", "render"),
}
"""Where each public name is."""


def __getattr__(name: str) -> Any:
    for module, names in MODULES.items():
        if name in names:
            return getattr(import_module(f"dmforge.{module}"), name)
    raise AttributeError(f"module 'dmforge' has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
