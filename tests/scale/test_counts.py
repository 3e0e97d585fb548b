"""Nothing got slower unseen: what fixed work costs, in calls, bytes and system calls, is what was written down."""

from __future__ import annotations

import json

import pytest

from tests.scale.counted import COUNTS, VERSION, WORKS, in_a_process

TOLERANCE = 0.1
WRITTEN = json.loads(COUNTS.read_text())


@pytest.mark.skipif(WRITTEN["python"] != VERSION, reason="written down with another Python, which makes other calls")
@pytest.mark.parametrize("name", WORKS)
def test_work_costs_what_was_written_down(name: str) -> None:
    expected, counted = WRITTEN[name], in_a_process(name)
    assert counted.keys() == expected.keys()
    off = {
        kind: f"{expected[kind]:,} before, {counted[kind]:,} now"
        for kind in expected
        if abs(counted[kind] - expected[kind]) > TOLERANCE * expected[kind]
    }
    assert not off, f"{off}: if that is meant, python -m tests.scale.counted --write"
