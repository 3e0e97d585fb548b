"""docs/recipes.md, written from the code: every stage that a recipe may name, and every key that it may be told.

`make docs` writes it; a test fails while it says something else than the code. It knows no stage by name.
"""

from __future__ import annotations

import inspect
import re
import types
from collections.abc import Iterator, Sequence
from enum import Enum
from fractions import Fraction
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic.fields import FieldInfo

from dmforge.curation.contract.collective import Collective
from dmforge.curation.contract.stage import Ask, Batch, Each, Gate, Root, Stage
from dmforge.recipe import STAGES, RecipeFile, stage_class
from dmforge.schemas.config import Config, is_operational

PAGE = Path(__file__).parents[1] / "docs" / "recipes.md"
SHAPES = (Each, Ask, Batch, Collective)
NAMES: dict[Any, str] = {int: "whole number", float: "number", Fraction: "fraction", str: "text", bool: "true or false"}
HEAD = """# What a recipe may say

Written by `make docs` from the code; what a key means stands beneath it there. Recipes to start from: `recipes/`, by
`dmforge init DIR --recipe NAME`. A key that isn't known is refused, with the nearest one that is.

A key is marked `*` if it says only *how* work is done. Changing any other makes new work, and `dmforge plan` says how much.
A fraction may be written as a whole number, or as text: `"3/2"`.

Stages run in the order in which they stand. A stage that reads a table comes behind one that makes it.

"""


def page() -> str:
    """The whole page."""
    classes = {name: stage_class(name) for name in STAGES}
    shared = _shared([kind.config_class for kind in classes.values()])
    parts = ["## recipe.toml\n", *_table(RecipeFile, [RecipeFile])]
    tables: dict[type[Config], None] = dict.fromkeys(_tables([RecipeFile]))
    for name, kind in classes.items():
        parts += [*_stage(name, kind, shared)]
        tables |= dict.fromkeys(_tables(_family(kind.config_class)))
    parts.append("\n## Keys that several stages have\n")
    for kind in shared:
        parts += [f"\n### {kind.__name__}\n\n{_flat(kind.__doc__)}\n", *_table(kind, [kind])]
    parts.append("\n## Tables\n")
    for kind in tables:
        parts += [f"\n### {kind.__name__}\n\n{_flat(kind.__doc__)}\n", *_table(kind, _family(kind))]
    return re.sub(r"\n{3,}", "\n\n", HEAD + "\n".join(parts) + "\n")


def _stage(name: str, kind: type[Stage[Any, Any]], shared: Sequence[type[Config]]) -> Iterator[str]:
    reason, *_ = (inspect.getdoc(inspect.getmodule(kind)) or "").split("\n\n")
    yield f"\n## [stages.{name}]\n\n{_flat(reason)}\n"
    shape = next(base.__name__ for base in SHAPES if issubclass(kind, base))
    traits = [shape, *(base.__name__ for base in (Root, Gate) if issubclass(kind, base))]
    made = ", ".join(f"`{record.table}`" for record in kind.makes)
    measured = f" Measures {', '.join(f'`{measure}`' for measure in kind.measures)}." if kind.measures else ""
    yield f"{' and '.join(traits)}: from `{kind.reads.table}` to {made}.{measured}\n"
    family = _family(kind.config_class)
    yield from _table(kind.config_class, [config for config in family if config not in shared])
    also = [f"[{config.__name__}](#{config.__name__.lower()})" for config in family if config in shared]
    yield f"\nAnd those of {', '.join(also)}." if also else ""


def _family(kind: type[Config]) -> list[type[Config]]:
    """A config and what it is derived from, the most particular one first."""
    return [config for config in kind.__mro__ if issubclass(config, Config) and config is not Config]


def _shared(kinds: Sequence[type[Config]]) -> list[type[Config]]:
    """Bases that are no stage's own config, the most general one first."""
    bases = {base: len(base.__mro__) for kind in kinds for base in _family(kind)[1:] if base not in kinds}
    return sorted(bases, key=lambda base: (bases[base], base.__name__))


def _table(kind: type[Config], declared_in: Sequence[type[Config]]) -> Iterator[str]:
    """The keys that some classes of a family declare, with what holds for `kind`."""
    names = [name for name in kind.model_fields if any(name in config.__annotations__ for config in declared_in)]
    if not names:
        return
    yield "| key | is | default | |\n|---|---|---|---|"
    for name in names:
        field = kind.model_fields[name]
        mark = "\\*" if is_operational(field) else ""
        type_text = f"{_type_text(field.annotation)}{_bounds(field.metadata)}"
        yield f"| `{name}`{mark} | {type_text} | {_default(field)} | {_flat(field.description)} |"


def _type_text(kind: Any) -> str:
    """A type in the words of someone who writes TOML."""
    origin, args = get_origin(kind), get_args(kind)
    if origin is Annotated:
        return _type_text(args[0]) + _bounds(kind.__metadata__)
    if origin is Literal:
        return " or ".join(f"`{choice}`" for choice in args)
    if origin in (Union, types.UnionType):
        return " or ".join(_type_text(member) for member in args if member is not types.NoneType)
    if origin in (tuple, list):
        inner = [_type_text(item) for item in args if item is not Ellipsis]
        return f"list of {inner[0]}" if len(set(inner)) == 1 else f"list: {', '.join(inner)}"
    if origin is dict:
        return "table" if args[1] is Any else f"table: {_type_text(args[0])} = {_type_text(args[1])}"
    if isinstance(kind, type) and issubclass(kind, Config):
        return f"[{kind.__name__}](#{kind.__name__.lower()})"
    if isinstance(kind, type) and issubclass(kind, Enum):
        return " or ".join(f"`{member.value}`" for member in kind)
    return "anything" if kind is Any else NAMES[kind]


def _bounds(marks: Sequence[Any]) -> str:
    """What a number must be."""
    words = {"gt": "over", "ge": "from", "lt": "under", "le": "to"}
    plain = [constraint for mark in marks for constraint in (mark.metadata if isinstance(mark, FieldInfo) else [mark])]
    bounds = [f"{word} {float(getattr(mark, name)):g}" for mark in plain for name, word in words.items() if hasattr(mark, name)]
    return f", {' '.join(bounds)}" if bounds else ""


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "must be said"
    value = field.get_default(call_default_factory=True)
    if isinstance(value, Config):  # one that differs from its class: a table of numbers
        value = value.model_dump(mode="json", exclude_defaults=True)
    if value is None or value in ({}, (), ""):
        return ""
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, str):
        return f'`"{value}"`'
    if isinstance(value, dict):
        return f"`{{ {', '.join(f'{key} = {number:g}' for key, number in value.items())} }}`"
    if isinstance(value, tuple):
        return f"`[{', '.join(f'{item:g}' if isinstance(item, float) else str(item) for item in value)}]`"
    return f"`{value:g}`" if isinstance(value, float) else f"`{value}`"


def _tables(kinds: Sequence[type[Config]]) -> Iterator[type[Config]]:
    """The configs that stand within others, with those that stand within them."""
    for kind in kinds:
        for field in kind.model_fields.values():
            for inner in _inner(field.annotation):
                yield inner
                yield from _tables([inner])


def _inner(kind: Any) -> Iterator[type[Config]]:
    if isinstance(kind, type) and issubclass(kind, Config):
        yield kind
    for argument in get_args(kind):
        yield from _inner(argument)


def _flat(text: str | None) -> str:
    """Prose in one line, fit for a cell."""
    return " ".join((text or "").split()).replace("|", "\\|")


if __name__ == "__main__":
    PAGE.write_text(page(), "utf-8")
    print(PAGE)
