"""Providers as they are: whatever one does, nothing is lost, nothing is hidden, and nothing that made nothing exits 0.

Each habit is tried by `dmforge run` on real clips. What is expected is what a person may expect of a finished product: where
today's falls short, `NOT_YET` says so, and a habit that is mended must leave that table.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.providers.tried import KEY, LIMIT, TEMPERATURE, Case, Outcome, audit, prepare, trying
from tests.support.made_once import made_once

pytestmark = pytest.mark.real_data

COMMONEST = (
    "plain", "thinks-inline", "thinks-in-reasoning-content", "fenced", "refuses-temperature", "wants-no-format",
    "filters-by-finish", "wrong-key",
)  # fmt: skip
"""The habits that `make test` tries, too."""
MAX_SAID = 6_000
"""Letters of stderr that a person may be expected to read."""
WORDS_OF_FILTERS = "filter|refus|inspection|inappropriate|prohibited|sensitive|moderation|content|no message"

AS_PLAIN = {
    name: Case(name)
    for name in (
        "thinks-inline", "thinks-without-opening", "thinks-in-other-tags", "thinks-in-reasoning-content", "thinks-in-reasoning",
        "thinks-unseen", "thinks-in-parts", "thinks-of-replies-only", "fenced", "prose-around", "twice", "list-around",
        "content-in-parts", "content-as-object", "numbers-as-texts", "byte-order-marks", "blank-lines-first", "odd-finish",
        "slow", "closes-connections", "usage-missing", "usage-null", "usage-zero", "usage-nonsense", "usage-now-and-then",
        "ignores-the-schema",
    )
} | {
    "thinks-inline, annotate": Case("thinks-inline", "annotate"),
    "thinks-of-replies-only, annotate": Case("thinks-of-replies-only", "annotate"),
    "twice, annotate": Case("twice", "annotate"),
    "numbers-as-texts, annotate": Case("numbers-as-texts", "annotate"),
    "low-ceiling, 4096": Case("low-ceiling", settings="max_output_tokens = 4096\n" + TEMPERATURE),
    "plain, [teacher]": Case("plain", teacher=LIMIT),
    "thinks-inline, [teacher]": Case("thinks-inline", teacher=LIMIT + TEMPERATURE),
}  # fmt: skip
"""What makes just what an honest endpoint makes, with no call more."""

ADAPTED = {
    "refuses-seed": "seed", "refuses-seed-with-a-list": "seed", "refuses-seed-as-gemini": "seed",
    "refuses-temperature": "temperature", "refuses-temperature-in-prose": "temperature",
    "wants-max-tokens": "max_completion_tokens|max_tokens", "refuses-max-tokens": "",
    "wants-json-object": "response_format|json_schema|json_object", "wants-no-format": "response_format|json_schema",
    "wants-the-word-json": "response_format|json_schema|json_object", "refuses-all-in-turn": "seed",
    "refuses-all-at-once": "seed",
    "refuses-the-grammar": "response_format|json_schema|json_object|grammar",
}  # fmt: skip
"""Parameters that are refused, and what the one line must name that says so."""

TRIED_AGAIN = {
    name: Case(name)
    for name in (
        "broken-json", "numbers-that-are-none", "half-characters", "duplicate-keys", "busy-at-first", "busy-as-gemini",
        "overloaded-at-first", "loads-at-first", "proxied-at-first", "errors-in-200-at-first", "errors-in-a-choice-at-first",
        "resets-at-first", "hangs-at-first",
    )
}  # fmt: skip
"""What passes, or spoils a reply now and then: everything is made in the end."""
TRIED_AGAIN |= {
    "thinks-unseen, 512": Case("thinks-unseen", settings="max_output_tokens = 512\n"),
    "thinks-inline, 512": Case("thinks-inline", settings="max_output_tokens = 512\n"),
    "free-density, annotate": Case("free-density", "annotate"),
}

FILTERED = (
    "filters-by-finish", "filters-by-code", "filters-as-dashscope", "filters-as-gemini", "filters-without-message",
    "filters-with-empty-choices", "filters-with-null", "filters-by-safety", "refuses-in-a-field", "filters-by-moderation",
    "refuses-an-image",
)  # fmt: skip
"""Some parts are refused: a storyline with gaps comes of each video all the same."""

STOPS = {
    "wrong-key": r"401.*Incorrect API key provided",
    "echoes-the-key": r"401.*invalid token",
    "no-credit": r"402.*Insufficient Balance",
    "no-quota": r"429.*exceeded your current quota",
    "no-quota-today": r"quota of the day|exceeded your current quota",
    "forbidden": r"403.*Country, region, or territory not supported",
    "unknown-model": r"404.*does not exist",
    "unknown-path": r"404.*Not Found.*127\.0\.0\.1:\d+/v1",
    "login-page": r"Sign in to continue",
    "redirects": r"redirect.*elsewhere\.invalid",
    "always-502": r"502.*Bad Gateway",
    "always-503": r"503.*overloaded",
    "always-busy": r"429|Too Many Requests",
    "errors-in-200": r"No endpoints found that support image input",
    "always-resets": r"connection broke",
    "always-hangs": r"timeout_s = 4",
    "streams-only": r"only support stream mode",
    "never-json": r"The video shows a woman in a red coat",
    "thinks-for-ever": r"cut off at max_output_tokens = 8192",
    "short-context": r"maximum context length is 900 tokens",
    "filters-everything": WORDS_OF_FILTERS,
}
"""Nothing can be made: what a person must be told, in the provider's own words."""

EITHER_WAY = {
    "tool-calls": "tool_calls|tool call|no JSON|empty|arguments",
    "streams-anyhow": "data:|event-stream|stream",
    "extra-fields": "confidence",
    "wrapped": "response",
    "encoded-twice": "JSON|events",
    "compresses-anyhow": "compressed",
    "low-ceiling": "4096",
    "echoes-the-key-in-replies": "",
}
"""What may be lived with as well as refused with a word: but not in between."""

TOO_LARGE = {
    "few-images": r"At most 8 image\(s\).*|12 images",
    "small-bodies": r"413.*Request Entity Too Large",
    "small-bodies-in-json": r"413.*exceeds the maximum size",
    "small-payloads-as-gemini": r"payload size exceeds the limit",
}
"""Some questions are larger than the endpoint takes: their inputs are rejected, one by one, and the rest is made."""
WITHIN = {
    "few-images, max_images": Case("few-images", teacher=LIMIT + "max_images = 8\n"),
    "small-bodies, max_request_mb": Case("small-bodies", teacher=LIMIT + "max_request_mb = 0.06\n"),
}
"""The same with the limit in the recipe: patches are left out, and everything is made."""

NOT_YET: dict[str, str] = {}
"""By habit, or by habit and recipe: what today's product lacks."""

Tries = Callable[[Case], Outcome]


def cases(*names: str) -> list[object]:
    """Names as parameters, marked as what they are."""
    marked: list[object] = []
    for name in names:
        marks = [] if name in COMMONEST else [pytest.mark.providers]
        if name in NOT_YET:
            marks.append(pytest.mark.xfail(reason=NOT_YET[name], strict=True))
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


@pytest.fixture(scope="module")
def plain(template: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Outcome]:
    """What an honest endpoint leads to, by what is asked."""
    outcomes: dict[str, Outcome] = {}

    def outcome(asks: str) -> Outcome:
        if asks not in outcomes:
            outcomes[asks] = trying(template, tmp_path_factory.mktemp(f"plain-{asks}"))(Case("plain", asks))
        return outcomes[asks]

    return outcome


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
def test_a_habit_that_is_lived_with_changes_nothing(name: str, tried: Tries, plain: Callable[[str], Outcome]) -> None:
    case = AS_PLAIN[name]
    outcome, honest = tried(case), plain(case.asks)
    hold(outcome)
    assert outcome.code == 0, outcome.stderr
    assert outcome.counts == honest.counts
    assert outcome.made == honest.made
    assert len(outcome.provider.exchanges) == len(honest.provider.exchanges), "more was asked than there are questions"
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
    name: str, tried: Tries, plain: Callable[[str], Outcome]
) -> None:
    outcome, honest = tried(Case(name)), plain("questions")
    hold(outcome)
    assert outcome.code == 0, outcome.stderr
    assert outcome.counts["storylines"] == 3
    assert len({video for video, *_ in outcome.made["drafts"]}) == 3
    refusals = sum(exchange.status >= 400 for exchange in outcome.provider.exchanges)
    assert refusals <= 4 * 4 * 2, "each of four calls at once, in each of two stages, may meet each of four refusals"
    assert len(outcome.journal) == outcome.provider.answers == len(honest.journal)
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
    if case.habit not in ("resets-at-first", "hangs-at-first"):
        pays_what_is_charged(outcome)


@pytest.mark.parametrize("name", cases(*FILTERED))
def test_a_part_that_is_refused_leaves_a_gap(name: str, tried: Tries, plain: Callable[[str], Outcome]) -> None:
    outcome, honest = tried(Case(name)), plain("questions")
    hold(outcome)
    assert outcome.code == 0, outcome.stderr
    assert outcome.counts["storylines"] == 3
    events, all_events = (sum(len(row[1]) for row in run.made["storylines"]) for run in (outcome, honest))
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
    assert outcome.cost_usd <= max(1.5 * outcome.charged_usd, 0.0) + 0.25 * (name in ("always-resets", "always-hangs"))


@pytest.mark.parametrize("name", cases(*EITHER_WAY))
def test_what_may_be_lived_with_or_refused_is_one_of_both(name: str, tried: Tries, plain: Callable[[str], Outcome]) -> None:
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
    assert outcome.code == 0, outcome.stderr
    assert outcome.counts["storylines"] == 3
    asked_about = {video for video, *_ in outcome.made["drafts"]}
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
