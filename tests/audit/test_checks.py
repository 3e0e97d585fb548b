"""Go, look or stop: each fault is planted at three depths; the verdict, its exit code and limits are what a recipe says."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest

from dmforge.curation.audit.check_limits import MIN_SCORES, Checks, Limit
from dmforge.curation.audit.check_measures import MEASURES, RESTRICTED
from dmforge.curation.audit.corpus_checks import CorpusVerdict, corpus_checks
from dmforge.curation.io.toml import read_toml
from dmforge.curation.lake.journal_table import ANSWERS
from dmforge.filters.selection.select_cot import SelectCot, SelectCotConfig
from dmforge.recipe import RECIPES, read_recipe
from dmforge.schemas.ids import show
from dmforge.schemas.looks import Look, Window
from dmforge.schemas.records import Candidate, Provenance, Task, Verdict, Video
from dmforge.schemas.transcript import Piece, Transcript
from tests.audit.conftest import ask
from tests.judging.lakes import judged

SAMPLES = 200
SOME = Limit(look=0.0, stop=0.1)
LIMITS = Checks(across_splits=SOME, contamination=SOME, restricted_licences=SOME)
"""The defaults, but where the first one stops already, or none does."""
PLANTED = {
    "go": dict.fromkeys(MEASURES, 0) | {"answer_letters": 50, "longest_option": 50, "constant_span": 40},
    "look": {
        "wrong_answers": 4, "guesses": 10, "leaks": 4, "failing_filters": 10, "answer_letters": 80, "edge_windows": 100,
        "answered_blind": 60, "longest_option": 90, "constant_span": 120, "across_splits": 4, "contamination": 4,
        "unknown_licences": 4, "restricted_licences": 4, "missing_measurements": 4,
    },
    "stop": {
        "wrong_answers": 20, "guesses": 30, "leaks": 20, "failing_filters": 30, "answer_letters": 120, "edge_windows": 160,
        "answered_blind": 120, "longest_option": 140, "constant_span": 170, "across_splits": 40, "contamination": 40,
        "unknown_licences": 40, "restricted_licences": 40, "missing_measurements": 40,
    },
}  # fmt: skip
"""By state, how many samples of each check's fault stand in the corpus."""
DURATION_CS = 100_000
PRICES = pa.table({"model": ["one"], "input_usd": [1.0], "output_usd": [1.0], "batch_share": [0.5]})
NOTHING_PAID = {"answers": ANSWERS.empty_table, "prices": lambda: PRICES}


@pytest.mark.parametrize(
    ("rights", "is_restricted"),
    [
        ("CC-BY-NC-4.0", True), ("cc by-nd 2.0", True), ("Non-Commercial use", True), ("for research purposes", True),
        ("CC0-1.0", False), ("CC-BY-4.0", False), ("MIT", False), ("unknown", False), ("Apache-2.0 andy's", False),
    ],
)  # fmt: skip
def test_words_that_limit_use_are_seen(rights: str, is_restricted: bool) -> None:
    (matches,) = duckdb.execute(f"SELECT regexp_matches(lower(?), '{RESTRICTED}')", [rights]).fetchall()[0]
    assert matches == is_restricted


def rows_of(index: int, counts: dict[str, int]) -> list[Any]:
    """A sample about a video of its own, with each fault of which there are more than `index`."""
    has = {name: index < count for name, count in counts.items()}
    licence = "unknown" if has["unknown_licences"] else "CC0-1.0"
    video = Video(f"{index:064x}"[::-1], DURATION_CS, 64, 64, Fraction(25), "h264", 0, 9, source="films", licence=licence)
    letter = 0 if has["answer_letters"] else 1 + index % 3
    longest = letter if has["longest_option"] else (letter + 1 + index % 3) % 4
    options = tuple("a long one" + "!" * option if option == longest else f"no{option}" for option in range(4))
    gold = Window(1_000, 2_000) if has["constant_span"] else Window(5_000 + 400 * index, 5_300 + 400 * index)
    terms = "research only" if has["restricted_licences"] else "any purpose"
    task = Task(
        video.id, "grounded_mcq", "Which?", options, "ABCD"[letter], (gold,), "any", source="x", split="train", terms=terms
    )
    look = Look(Window(0, 900) if has["edge_windows"] else Window(900, 2_100), Fraction(2))
    is_wrong, is_scored = has["wrong_answers"], index % 2 == 0
    said = "ABCD"[letter - 1 if is_wrong else letter]
    transcript = Transcript((Piece("policy", "."),))
    candidate = Candidate(video.id, task.id, 0, "one", transcript, (look,), said, "teacher", ())
    scores = {"grammar": 1.0, "unguessed": float(not has["guesses"]), "unleaked": float(not has["leaks"])}
    scores["evidence"] = 0.2 if has["failing_filters"] else 0.6
    scores |= {"answer": float(not is_wrong)} if is_scored else {}
    if index >= SAMPLES - counts["missing_measurements"]:
        del scores["grammar"]
    rows: list[Any] = [video, Provenance(video.id, "films", licence, "", "ns", str(index), (), "train"), task, candidate]
    rows += [Verdict(video.id, candidate.id, "candidate", name, score, 1) for name, score in scores.items()]
    rows.append(Verdict(video.id, task.id, "task", "blind", 0.25 if has["answered_blind"] else 1.0, 4))
    rows.append(Verdict(video.id, video.id, "video", "clean", float(not has["contamination"]), 1))
    return rows + (other_split(video, index) if has["across_splits"] else [])


def other_split(video: Video, index: int) -> list[Any]:
    """A question of another split about the same video, or about a copy of it; nothing of that is kept."""
    copy = Video(
        f"{SAMPLES + index:064x}"[::-1], DURATION_CS, 64, 64, Fraction(25), "h264", 0, 9, source="films", licence="CC0-1.0"
    )
    asked = copy if index % 2 else video
    task = Task(asked.id, "open", "What?", (), "red", (), "any", source="x", split="val")
    if asked is video:
        return [task]
    return [copy, Verdict(copy.id, copy.id, "video", "original", 0.0, 1, "a copy", show("video", video.id)), task]


@pytest.fixture(scope="module")
def verdicts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, CorpusVerdict]:
    """The verdict on a corpus without faults, one with a few of all, and one with many."""
    made: dict[str, CorpusVerdict] = {}
    for state, counts in PLANTED.items():
        rows = [row for index in range(SAMPLES) for row in rows_of(index, counts)]
        view = judged(tmp_path_factory.mktemp("checked") / "ws", rows, SelectCot(SelectCotConfig()))
        made[state] = corpus_checks(view, LIMITS, NOTHING_PAID)
    return made


@pytest.mark.slow
@pytest.mark.parametrize("state", PLANTED)
@pytest.mark.parametrize("name", MEASURES)
def test_each_check_finds_what_was_planted(verdicts: dict[str, CorpusVerdict], name: str, state: str) -> None:
    (check,) = (check for check in verdicts[state].checks if check.check == name)
    planted = PLANTED[state][name]
    assert (check.state, check.count, check.of) == (state, planted, SAMPLES)
    assert len(set(check.examples)) == min(3, planted)
    share = planted / SAMPLES
    if check.chance is None:
        assert check.share == pytest.approx(share)
    else:
        assert check.chance == 0.25
        assert check.share == pytest.approx(max(0, share - 0.25 - 2 * (0.25 * 0.75 / SAMPLES) ** 0.5), abs=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("state", PLANTED)
def test_the_worst_check_is_the_verdict(verdicts: dict[str, CorpusVerdict], state: str) -> None:
    verdict = verdicts[state]
    assert verdict.verdict == state
    assert {check.check for check in verdict.deciding} == (set() if state == "go" else set(MEASURES))
    document = verdict.as_json()
    assert document["verdict"] == state
    for check, row in zip(document["checks"], document["rows"], strict=True):
        told = dict(zip(document["columns"], row, strict=True))
        assert {name: told[name] for name in ("check", "state", "count", "of", "share")}.items() <= check.items()
        assert check["threshold"] == {"look": told["look_over"], "stop": told["stop_over"]}
    filters = next(check for check in verdict.checks if check.check == "failing_filters")
    assert ("evidence" in filters.about) == (state != "go")
    answers = next(check for check in verdict.checks if check.check == "wrong_answers")
    assert "`answer = 0.7`" in answers.hint


def test_what_nobody_measured_is_neither_good_nor_bad_and_nothing_kept_stops(tmp_path: Path) -> None:
    kept = [row for row in rows_of(0, PLANTED["go"]) if not isinstance(row, Verdict)]
    bare = corpus_checks(judged(tmp_path / "bare", kept, SelectCot(SelectCotConfig())), Checks(), NOTHING_PAID)
    by_name = {check.check: check for check in bare.checks}
    for name in ("guesses", "leaks", "failing_filters", "answered_blind", "contamination", "cost_per_sample"):
        assert (by_name[name].state, by_name[name].share) == ("unmeasured", None)
    assert by_name["wrong_answers"].share == 0  # its gold is known
    assert by_name["missing_measurements"].state == bare.verdict == "stop"
    empty = corpus_checks(judged(tmp_path / "empty", (), SelectCot(SelectCotConfig())), Checks(), NOTHING_PAID)
    assert empty.verdict == "stop"
    assert [check.check for check in empty.deciding] == ["kept"]


def test_default_scores_are_the_mildest_of_the_recipes_that_come_along() -> None:
    thresholds: dict[str, list[float]] = {}
    for path in sorted(RECIPES.glob("*.toml")):
        settings = read_toml(path)["stages"].get("select_cot", {})
        for name, score in {**settings.get("min_score", {}), **settings.get("min_score_if_present", {})}.items():
            thresholds.setdefault(name, []).append(score)
    left_out = {"original", "thrift", "vouch", "vouch_overlap", "vouch_window"}
    assert {name: min(scores) for name, scores in thresholds.items() if name not in left_out} == {
        name: score for name, score in MIN_SCORES.items() if name in thresholds
    }
    assert MIN_SCORES.keys() - thresholds.keys() == {"idle_look", "overlap_looks", "safe"}  # which are off unless asked for


def test_the_page_has_the_limits_as_they_are() -> None:
    page = (Path(__file__).parents[2] / "docs/audit.md").read_text()
    table = {cells[1].strip(" `"): cells[3:5] for line in page.splitlines() if len(cells := line.split("|")) == 6}
    for name in MEASURES:
        limit: Limit = getattr(Checks(), name)
        assert [cell.strip() for cell in table[name]] == [
            "" if bound is None else f"{bound * 100:.0f} %" if bound else "0" for bound in (limit.look, limit.stop)
        ]


@pytest.fixture
def copied(workspace: Path, tmp_path: Path) -> Callable[[str], Path]:
    """A copy of the demo with a table more in its recipe."""

    def copy(table: str) -> Path:
        place = Path(shutil.copytree(workspace, tmp_path / "ws"))
        recipe = place / "recipe.toml"
        recipe.write_text(f"{recipe.read_text()}\n{table}\n")
        return place

    return copy


@pytest.mark.parametrize(
    ("limit", "state", "code"), [("{}", "go", 0), ("{ look = 0 }", "look", 0), ("{ look = 0, stop = 0 }", "stop", 1)]
)
def test_a_recipe_says_what_stops_and_changes_no_work(
    workspace: Path, copied: Callable[[str], Path], limit: str, state: str, code: int
) -> None:
    place = copied(f"[checks]\ncost_per_sample = {limit}")
    document = json.loads(ask("audit", "checks", "-w", place, "--json", code=code).stdout)
    (cost,) = (check for check in document["checks"] if check["check"] == "cost_per_sample")
    assert cost["state"] == state
    assert cost["share"] > 0
    assert state == document["verdict"] or state == "go"
    before, after = (read_recipe(folder / "recipe.toml") for folder in (workspace, place))
    assert [stage.variant for stage in before.stages] == [stage.variant for stage in after.stages]
    assert before.resolved() == after.resolved()
    assert ask("audit", "checks", "-w", place, code=code).stdout.splitlines()[0] == document["verdict"]


def test_a_stricter_score_of_a_filter_is_held_against_what_was_kept(copied: Callable[[str], Path]) -> None:
    place = copied("[checks.min_score]\nown_span = 1.0\nlength = -1.0")
    document = json.loads(ask("audit", "checks", "-w", place, "--json", code=1).stdout)
    (failing,) = (check for check in document["checks"] if check["check"] == "failing_filters")
    assert failing["state"] == "stop"
    assert "own_span" in failing["about"]


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ("[checks]\nwrong_answer = { stop = 0.1 }", "did you mean 'wrong_answers'?"),
        ("[checks]\nguesses = { halt = 0.1 }", "unknown key 'checks.guesses.halt'"),
        ("[checks]\nguesses = { look = 5 }", "checks.guesses.look = 5"),
        ("[checks]\nguesses = { look = 0.5, stop = 0.1 }", "stop = 0.1 lies below look = 0.5"),
        ("[checks]\nguesses = 0.1", "checks.guesses = 0.1"),
        ("[checks.min_score]\nunguesed = 1.0", "did you mean 'unguessed'?"),
    ],
)
def test_nonsense_is_refused(copied: Callable[[str], Path], table: str, message: str) -> None:
    output = ask("audit", "checks", "-w", copied(table), code=2).output
    assert message in " ".join(output.split())


def test_checks_compare_with_nothing(workspace: Path, tmp_path: Path) -> None:
    for option, path in (("--with", tmp_path), ("--out", tmp_path / "x.csv")):
        refused = ask("audit", "checks", option, path, "-w", workspace, code=2).output
        assert option in refused
        assert "hint: dmforge audit" in refused
