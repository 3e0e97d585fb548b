"""Providers as they are: whatever one does, nothing is lost, nothing is hidden, and nothing that made nothing exits 0.

Each habit is tried by `dmforge run` on real clips. What is expected is what a person may expect of a finished product.
"""

from __future__ import annotations

import os
import pickle
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.providers.expected import (
    ADAPTED,
    AS_PLAIN,
    BAD_REQUESTS,
    EITHER_WAY,
    FILTERED,
    STOPS,
    TOO_LARGE,
    TRIED_AGAIN,
    UNBILLED,
    UNKNOWN,
    WITHIN,
    WORDS_OF_FILTERS,
)  # fmt: skip
from tests.providers.tried import KEY, Case, Outcome, audit, prepare, trying
from tests.support.made_once import made_once

pytestmark = pytest.mark.real_data

COMMONEST = (
    "plain", "thinks-inline", "thinks-in-reasoning-content", "fenced", "refuses-temperature", "wants-no-format",
    "filters-by-finish", "wrong-key",
)  # fmt: skip
"""The habits that `make test-slow` tries, too."""
FIRST = ("plain", "thinks-inline", "wrong-key")
"""Those of them that `make test` tries."""
MAX_SAID = 6_000
"""Letters of stderr that a person may be expected to read."""

Tries = Callable[[Case], Outcome]


def cases(*names: str) -> list[object]:
    """Names as parameters, marked as what they are."""
    marked: list[object] = []
    for name in names:
        lane = pytest.mark.slow if name in COMMONEST else pytest.mark.providers
        marks = [] if name in FIRST else [lane]
        marked.append(pytest.param(name, marks=marks))
    return marked


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three real clips, rendered once, and three tasks about them."""
    data = os.environ.get("DMFORGE_REAL_DATA")
    if not data:
        pytest.skip("DMFORGE_REAL_DATA is not set")
    return made_once(tmp_path_factory, "habits", lambda folder: prepare(folder, Path(data) / "videos"))


@pytest.fixture
def tried(template: Path, tmp_path: Path) -> Tries:
    return trying(template, tmp_path)


@dataclass(frozen=True)
class Honest:
    """What a run against an honest endpoint makes, and how often it asks."""

    made: dict[str, list[tuple[Any, ...]]]
    questions: int

    @property
    def counts(self) -> dict[str, int]:
        return {table: len(rows) for table, rows in self.made.items()}


@pytest.fixture(scope="module")
def plain(template: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Honest]:
    """What an honest endpoint leads to, by what is asked."""

    def make(folder: Path, asks: str) -> None:
        outcome = trying(template, folder)(Case("plain", asks))
        (folder / "honest").write_bytes(pickle.dumps(Honest(outcome.made, len(outcome.provider.exchanges))))

    def honest(asks: str) -> Honest:
        folder = made_once(tmp_path_factory, f"honest-{asks}", lambda folder: make(folder, asks))
        return pickle.loads((folder / "honest").read_bytes())

    return honest


def hold(outcome: Outcome) -> None:
    """What holds for every habit: no traceback, no key, no page, no answer lost, no success that made nothing."""
    assert "Traceback" not in outcome.stderr, outcome.stderr[-3000:]
    assert KEY.encode() not in outcome.everything()
    assert not re.search("<html|<center|<head>", outcome.stderr, re.IGNORECASE)
    assert len(outcome.stderr) < MAX_SAID
    assert outcome.code in (0, 1, 2)
    assert len(outcome.journal) >= outcome.provider.answers, "an answer that was paid for isn't in the journal"
    if not any(outcome.counts.values()):
        assert outcome.code != 0, "nothing was made, and it exits 0"
    meant = " ".join(exchange.meant for exchange in outcome.provider.exchanges)
    events = [event["what"] for _, events in outcome.made.get("storylines", ()) for event in events]
    assert all(event in meant for event in events), "a thought was taken for a reply"


def pays_what_is_charged(outcome: Outcome) -> None:
    assert outcome.cost_usd == pytest.approx(outcome.charged_usd, rel=1e-6)
    costs = audit(outcome.place, "cost")
    assert sum(row["answers"] for row in costs) == len(outcome.journal)
    in_journal = [exchange.charged or (0, 0) for exchange in outcome.provider.exchanges if exchange.delivered]
    assert sum(row["input_tokens"] for row in costs) == sum(sent for sent, _ in in_journal)
    assert sum(row["output_tokens"] for row in costs) == sum(written for _, written in in_journal)


@pytest.mark.parametrize("name", cases("plain"))
def test_an_honest_endpoint_makes_everything(name: str, tried: Tries) -> None:
    outcome = tried(Case(name))
    hold(outcome)
    assert outcome.code == 0, outcome.stderr
    assert outcome.counts["storylines"] == 3
    assert len({video for video, *_ in outcome.made["drafts"]}) == 3
    assert len(outcome.journal) == outcome.provider.questions == outcome.provider.answers
    pays_what_is_charged(outcome)


@pytest.mark.parametrize("name", cases(*AS_PLAIN))
def test_a_habit_that_is_lived_with_changes_nothing(name: str, tried: Tries, plain: Callable[[str], Honest]) -> None:
    case = AS_PLAIN[name]
    outcome, honest = tried(case), plain(case.asks)
    hold(outcome)
    assert outcome.code == 0, outcome.stderr
    assert outcome.counts == honest.counts
    assert outcome.made == honest.made
    assert len(outcome.provider.exchanges) == honest.questions, "more was asked than there are questions"
    assert len(outcome.journal) == outcome.provider.answers
    if not case.habit.startswith("usage"):
        pays_what_is_charged(outcome)
    if case.habit == "usage-now-and-then":
        assert outcome.cost_usd == pytest.approx(outcome.charged_usd, rel=0.5), "estimated from the model's other replies"
    if case.habit.startswith("usage"):
        assert 0 < outcome.cost_usd < 10 * outcome.charged_usd
        uncounted = sum(row["uncounted"] for row in audit(outcome.place, "cost"))
        assert uncounted > 0, "what was estimated is marked"


@pytest.mark.parametrize("name", cases(*ADAPTED))
def test_a_parameter_that_is_refused_is_left_out_once_and_for_all(
    name: str, tried: Tries, plain: Callable[[str], Honest]
) -> None:
    outcome, honest = tried(Case(name)), plain("questions")
    hold(outcome)
    assert outcome.code == 0, outcome.stderr
    assert outcome.counts["storylines"] == 3
    assert len({video for video, *_ in outcome.made["drafts"]}) == 3
    refusals = sum(exchange.status >= 400 for exchange in outcome.provider.exchanges)
    assert refusals <= 4 * 6 * 2, "each of four calls at once, in each of two stages, may meet each of six refusals"
    assert len(outcome.journal) == outcome.provider.answers == honest.questions
    assert re.search(ADAPTED[name], outcome.stderr), outcome.stderr
    assert len(outcome.stderr.splitlines()) < 30, "said once, not for each question"
    pays_what_is_charged(outcome)


@pytest.mark.parametrize("name", cases(*TRIED_AGAIN))
def test_what_passes_costs_time_and_no_input(name: str, tried: Tries) -> None:
    case = TRIED_AGAIN[name]
    outcome = tried(case)
    hold(outcome)
    assert outcome.code == 0, outcome.stderr
    if case.asks == "annotate":
        assert outcome.counts["candidates"] == 3
    else:
        assert outcome.counts["storylines"] == 3
        assert len({video for video, *_ in outcome.made["drafts"]}) == 3
    if "512" in name:
        assert "cut off at max_output_tokens = 512" in outcome.stderr
    if case.habit in UNKNOWN:
        assert outcome.charged_usd / 2 < outcome.cost_usd < 2.5 * outcome.charged_usd, "estimated from what is known"
    else:
        pays_what_is_charged(outcome)


@pytest.mark.parametrize("name", cases(*FILTERED))
def test_a_part_that_is_refused_leaves_a_gap(name: str, tried: Tries, plain: Callable[[str], Honest]) -> None:
    outcome, honest = tried(Case(name)), plain("questions")
    hold(outcome)
    assert outcome.code == 0, outcome.stderr
    assert outcome.counts["storylines"] == 3
    events, all_events = (sum(len(row[1]) for row in made["storylines"]) for made in (outcome.made, honest.made))
    assert 0.5 * all_events < events < all_events
    assert outcome.counts["drafts"]
    words = f"{outcome.stderr} {outcome.rejected} {outcome.made} {outcome.journal}"
    assert re.search(WORDS_OF_FILTERS, words, re.IGNORECASE)


@pytest.mark.parametrize("name", cases(*STOPS))
def test_what_can_not_be_mended_is_said_in_the_providers_words(name: str, tried: Tries) -> None:
    outcome = tried(Case(name))
    hold(outcome)
    assert outcome.code in (1, 2)
    assert not outcome.counts["drafts"]
    assert re.search(STOPS[name], outcome.stderr, re.DOTALL), outcome.stderr
    assert len(outcome.provider.exchanges) <= 50, "it went on asking"
    if name in BAD_REQUESTS:
        assert re.search(r"video_[a-z2-7]{26}", outcome.stderr), "which question it was isn't said"
    under_way_usd = 0.03 if name in UNBILLED else 0.12  # the others may be stopped in the middle of calls
    assert outcome.cost_usd <= 1.5 * outcome.charged_usd + under_way_usd, "booked is what was spent"


@pytest.mark.parametrize("name", cases(*EITHER_WAY))
def test_what_may_be_lived_with_or_refused_is_one_of_both(name: str, tried: Tries, plain: Callable[[str], Honest]) -> None:
    outcome, honest = tried(Case(name)), plain("questions")
    if name not in ("streams-anyhow", "compresses-anyhow"):  # what is no completion need not be kept
        hold(outcome)
    assert "Traceback" not in outcome.stderr
    if outcome.code == 0:
        assert outcome.counts == honest.counts
    else:
        assert outcome.code == 1
        assert re.search(EITHER_WAY[name], outcome.stderr), outcome.stderr
        assert len(outcome.provider.exchanges) <= 30, "it went on paying"


@pytest.mark.parametrize("name", cases(*TOO_LARGE))
def test_a_question_that_is_too_large_rejects_its_one_input(name: str, tried: Tries) -> None:
    outcome = tried(Case(name))
    hold(outcome)
    assert outcome.counts["storylines"] == 3
    asked_about = {video for video, *_ in outcome.made["drafts"]}
    if name != "short-context":  # which is too short for all three
        assert outcome.code == 0, outcome.stderr
        assert 1 <= len(asked_about) <= 2
    questions = outcome.result["stages"][-1]
    assert (questions["rejected"], questions["pending"]) == (3 - len(asked_about), 0)
    assert re.search(TOO_LARGE[name], outcome.stderr + outcome.rejected, re.DOTALL)


@pytest.mark.parametrize("name", cases(*WITHIN))
def test_a_limit_that_is_known_is_kept_to(name: str, tried: Tries) -> None:
    outcome = tried(WITHIN[name])
    hold(outcome)
    assert outcome.code == 0, outcome.stderr
    assert len({video for video, *_ in outcome.made["drafts"]}) == 3
    assert not [exchange for exchange in outcome.provider.exchanges if exchange.status >= 400]
