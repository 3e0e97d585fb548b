"""Every parser of foreign bytes, for a moment: `make fuzz` takes longer. What it once found is found no more."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from chaos import fuzz
from chaos.foreign_parsers import REFUSALS, Parser, parsers
from chaos.mutations import spoilt

INPUTS = 6


def test_spoilt_examples_are_refused_in_our_words(tmp_path: Path) -> None:
    work = tmp_path / "work"
    work.mkdir()
    for parser in parsers(tmp_path):
        for example in parser.examples:
            parser.read(example, work)
        draw = random.Random(f"1 {parser.name}")
        for _ in range(INPUTS):
            assert fuzz.tried(parser, spoilt(draw.choice(parser.examples), draw), work) is None


def test_what_is_no_refusal_is_found(tmp_path: Path) -> None:
    def read(data: bytes, folder: Path) -> int:
        return data[3]

    parser = Parser("of the fourth byte", (b"abcd",), read, REFUSALS)
    tried, found = fuzz.fuzzed(parser, 0, 0.5, tmp_path)
    assert tried
    assert [kind.partition(" at ")[0] for kind in found] == ["IndexError"]
    (finding,) = found.values()
    assert len(finding.data) < 4


def test_what_takes_for_ever_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def read(data: bytes, folder: Path) -> None:
        while True:
            try:
                sum(data)
            except Exception:
                continue

    monkeypatch.setattr(fuzz, "SLOW_S", 1)
    finding = fuzz.tried(Parser("without end", (b"",), read), b"", tmp_path)
    assert finding is not None
    assert "1 s" in finding.kind
