"""Names that a stranger reads once: no vague word for a value, each class and module called what nothing else is called."""

from __future__ import annotations

import ast
import re
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ROOMS = ("schemas", "curation", "generators", "filters", "trainers", "commands", "api")
VAGUE = {
    "told", "found", "said", "asked", "given", "shown", "wanted", "laid", "held", "taken", "brought", "spoken", "meant",
    "one", "what", "thing", "things", "ours", "theirs", "mine", "beside", "whole",
}  # fmt: skip
"""Words that say nothing about a value: a name says what it holds."""
STORED = {
    ("curation/audit/receipts.py", "what"), ("curation/audit/receipts.py", "said"), ("curation/audit/receipts.py", "found"),
    ("curation/contract/stage.py", "beside"), ("curation/sources/annotations.py", "said"),
    ("generators/stages/needles.py", "what"), ("generators/stages/needles.py", "said"),
    ("generators/stages/segments.py", "what"), ("generators/synthetic/oracle/stories.py", "what"),
    ("schemas/replies.py", "what"),
}  # fmt: skip
"""Columns, JSON keys and fields of replies that have the name for good. May only shrink."""
SHARED_MODULES = {"dynframe", "hf", "llamafactory", "openai_messages", "swift", "verl"}
"""Formats that are both read and exported."""


BESIDE = ("benchmarks", "chaos", "studies", "tools")
"""What measures and breaks the product, and writes its pages: read by as many."""


def modules() -> list[Path]:
    rooms = [path for room in ROOMS for path in (ROOT / room).rglob("*.py")]
    return sorted([*ROOT.glob("*.py"), *rooms])


def bindings(tree: ast.AST) -> Iterator[str]:
    """Every name that a value gets: variables, arguments, fields."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id
        elif isinstance(node, ast.arg):
            yield node.arg
        elif isinstance(node, ast.ExceptHandler | ast.MatchAs | ast.MatchStar) and node.name:
            yield node.name


def scripts() -> list[Path]:
    return sorted(path for room in BESIDE for path in (ROOT / room).rglob("*.py"))


@pytest.mark.parametrize("path", [*modules(), *scripts()], ids=lambda path: str(path.relative_to(ROOT)))
def test_a_name_says_what_it_holds(path: Path) -> None:
    names = {name.lstrip("_") for name in bindings(ast.parse(path.read_text()))}
    vague = {name for name in names & VAGUE if (str(path.relative_to(ROOT)), name) not in STORED}
    assert not vague, f"{path.name} calls a value {', '.join(sorted(vague))}"
    assert not {name for name in names if re.match(r"(most|least)_", name)}, "the field says max_ and min_"


def test_each_public_class_has_a_name_of_its_own() -> None:
    places: defaultdict[str, list[str]] = defaultdict(list)
    for path in modules():
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                places[node.name].append(str(path.relative_to(ROOT)))
    assert not {name: paths for name, paths in places.items() if len(paths) > 1}


def test_each_module_has_a_name_of_its_own() -> None:
    names = Counter(path.stem for path in modules() if not path.stem.startswith("__"))
    assert {name for name, count in names.items() if count > 1} == SHARED_MODULES


def test_what_is_listed_here_as_stored_is_still_so() -> None:
    for path, name in STORED:
        assert name in set(bindings(ast.parse((ROOT / path).read_text()))), (path, name)


LONG = {"cli.py": 490, "curation/lake/views.py": 447}
"""Files over 350 lines, and how long they may be. May only shrink."""


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(ROOT)))
def test_a_module_is_no_longer_than_one_reads_at_once(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= LONG.get(str(path.relative_to(ROOT)), 350)
