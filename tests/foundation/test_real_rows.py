"""DynFrame's own released rows: what our grammar makes of them. Without them a row of the same shape stands in."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path

import pytest

from dmforge.schemas.grammar import Trajectory, parse, render

PLACEHOLDER = "<video>"
"""Where their files show the clip that the runtime injects; a policy doesn't write it."""
ROW = (
    "<think>First the door, then the dog. <span>3.20 - 9.75</span><fps>3</fps><video>\nAt 4.10s it barks.</think>\n\n"
    "<answer>3.20 - 9.75</answer>"
)


def trajectory(text: str) -> Trajectory:
    found = parse(text.replace(PLACEHOLDER, ""))
    assert isinstance(found, Trajectory), found
    return found


def test_a_row_of_their_shape_is_well_formed() -> None:
    found = trajectory(ROW)
    assert (found.looks[0].window.start_cs, found.looks[0].window.end_cs) == (320, 975)
    assert found.looks[0].fps == Fraction(3)
    assert found.answer == "3.20 - 9.75"


@pytest.mark.real_data
def test_their_own_rows_are_well_formed_and_print_back(real_data: Path) -> None:
    rows = json.loads((real_data / "annotations/dynframe/actnet_fps.json").read_text())
    texts = [turn["value"] for row in rows for turn in row["conversations"] if turn["from"] == "gpt"]
    assert len(texts) == 3
    for text in texts:
        found = trajectory(text)
        assert render(found) == text.replace(PLACEHOLDER, "")
        assert len(found.looks) == 1
