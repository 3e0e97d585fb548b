"""What a plan says that the rest of a run costs, behind a pilot. `python -m benchmarks.plans` does it with more of all."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.planned_rest import rest_of


@pytest.mark.slow
def test_the_rest_costs_what_a_plan_says_where_replies_have_to_be_repeated(
    workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", "")  # set by `rest_of`, and put back
    rest = rest_of(workspace, "broken-json", pilot_videos=6, until="annotate")
    assert 0 < rest.pilot_usd < rest.spent_usd
    assert rest.planned_usd == pytest.approx(rest.spent_usd, rel=0.25)
