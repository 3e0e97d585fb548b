"""Inputs whose replies couldn't be used get further attempts: only those are asked, and the lake is what its inputs make it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from dmforge.curation.sources import further_attempts
from dmforge.curation.sources.further_attempts import FurtherRound
from dmforge.curation.workspace_folder import WorkspaceFolder
from dmforge.generators.stages.admit import Admit, AdmitConfig
from dmforge.generators.teacher.teacher_config import URL
from dmforge.schemas.ids import Id, digest, show
from tests.support.made_once import made_once
from tests.teachers import test_annotate
from tests.teachers.endpoint import GOOD, Script, server, status
from tests.teachers.test_annotate import dmforge, rows, workspace

worlds = test_annotate.worlds
REASON = "no readable reply"
NOWHERE = "http://127.0.0.1:9/v1"
READABLE = json.dumps({"thought": "It is seen.", "start_s": 1, "end_s": 3, "fps": 2, "answer": "red"})
UNREADABLE = "I see."
ATTEMPTS = 2
OUTCOMES = "SELECT status, detail FROM outcomes WHERE stage = 'annotate'"
REJECTED = "SELECT input, video FROM outcomes WHERE stage = 'annotate' AND status = 'rejected' ORDER BY input"


@contextmanager
def teacher(content: str, monkeypatch: pytest.MonkeyPatch) -> Generator[list[Any]]:
    """A server that says the same to every question; the questions that it got."""
    message = {"role": "assistant", "content": content}
    script = Script(status(200, GOOD | {"choices": [{"index": 0, "finish_reason": "stop", "message": message}]}))
    with server(script) as url:
        monkeypatch.setenv(URL, url)
        yield script.asked


@pytest.fixture(scope="module")
def rejected(worlds: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with three tasks, to each of which a teacher has said nothing twice."""

    def make(folder: Path) -> None:
        tasks = folder / "tasks.jsonl"
        lines = (worlds / "tasks.jsonl").read_text().splitlines(keepends=True)
        tasks.write_text("".join(lines[:3]))
        place = workspace(folder, worlds, f'model = "oracle"\nattempts = {ATTEMPTS}', tasks=tasks)
        with pytest.MonkeyPatch.context() as patch, teacher(UNREADABLE, patch):
            dmforge("run", "-w", place, code=1)

    return made_once(tmp_path_factory, "rejected", make) / "ws"


@pytest.fixture
def place(rejected: Path, tmp_path: Path) -> Path:
    return shutil.copytree(rejected, tmp_path / "ws")


def attempts_file(place: Path) -> Path:
    return WorkspaceFolder(place).further_attempts


def grant_by_hand(place: Path, inputs: list[tuple[Id, Id]]) -> None:
    """The lines alone, as a kill leaves them before any outcome goes."""
    rounds = [FurtherRound("annotate", task, "task", video, REASON) for task, video in inputs]
    further_attempts.grant(WorkspaceFolder(place), rounds)


def lake_digest(place: Path) -> Any:
    return dmforge("digest", "-w", place, "--json")


def fresh_digest(place: Path, monkeypatch: pytest.MonkeyPatch, lost: str = "lake/commits/annotate") -> Any:
    """The digest after a run that makes anew what was lost, from the same inputs and journal, where nobody can be asked."""
    fresh = shutil.copytree(place, place.parent / "fresh")
    shutil.rmtree(fresh / lost)
    monkeypatch.setenv(URL, NOWHERE)
    dmforge("run", "-w", fresh, code=0 if rows(place, "SELECT 1 FROM candidates") else 1)
    fresh_digest = lake_digest(fresh)
    shutil.rmtree(fresh)
    return fresh_digest


def test_a_granted_round_asks_its_own_attempts_alone(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with teacher(READABLE, monkeypatch) as asked:
        printed = dmforge("run", "--retry-rejected", REASON, "-w", place)
        assert len(asked) == 2 * 3  # both calls of one attempt for each task
    assert "3 rejected inputs are pending again" in printed
    assert rows(place, "SELECT attempt FROM candidates") == [(ATTEMPTS,)] * 3
    lines = [json.loads(line) for line in attempts_file(place).read_text().splitlines()]
    assert [(line["stage"], line["reason"]) for line in lines] == [("annotate", REASON)] * 3
    assert lake_digest(place) == fresh_digest(place, monkeypatch, "lake")
    assert "no input is rejected for" in dmforge("run", "--retry-rejected", REASON, "-w", place, code=2)


@pytest.mark.slow
def test_a_round_in_vain_is_used_and_another_one_may_follow(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with teacher(UNREADABLE, monkeypatch) as asked:
        dmforge("run", "--retry-rejected", REASON, "-w", place, code=1)
        assert len(asked) == 3 * ATTEMPTS
        assert {(status, detail.endswith(further_attempts.mark(1))) for status, detail in rows(place, OUTCOMES)} == {
            ("rejected", True)
        }
        assert "pending again" not in dmforge("run", "-w", place, code=1)
        assert len(asked) == 3 * ATTEMPTS
    assert lake_digest(place) == fresh_digest(place, monkeypatch)
    with teacher(READABLE, monkeypatch):
        dmforge("run", "--retry-rejected", REASON, "-w", place)
    assert rows(place, "SELECT attempt FROM candidates") == [(2 * ATTEMPTS,)] * 3
    assert len(attempts_file(place).read_text().splitlines()) == 6


def test_a_grant_whose_reopening_was_killed_is_noticed_by_the_next_run(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    grant_by_hand(place, rows(place, REJECTED)[:1])
    with teacher(READABLE, monkeypatch):
        assert "1 rejected inputs are pending again" in dmforge("run", "-w", place)
    assert rows(place, "SELECT count(*) FROM candidates") == [(1,)]
    assert lake_digest(place) == fresh_digest(place, monkeypatch)


def test_the_command_that_was_killed_goes_on_and_grants_nothing_twice(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    grant_by_hand(place, rows(place, REJECTED)[:2])
    with teacher(UNREADABLE, monkeypatch):
        assert "3 rejected inputs are pending again" in dmforge("run", "--retry-rejected", REASON, "-w", place, code=1)
    assert len(set(attempts_file(place).read_text().splitlines())) == 3
    assert len(attempts_file(place).read_text().splitlines()) == 3


@pytest.mark.slow
def test_while_granted_attempts_are_to_be_asked_nothing_more_is_granted(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = place / "recipe.toml"
    recipe.write_text(recipe.read_text().replace("[stages.annotate]", "[stages.annotate]\nretries = 0"))
    monkeypatch.setenv(URL, NOWHERE)
    assert "3 rejected inputs" in dmforge("run", "--retry-rejected", REASON, "-w", place, code=1)
    assert "nothing more is granted" in dmforge("run", "--retry-rejected", REASON, "-w", place, code=1)
    assert len(attempts_file(place).read_text().splitlines()) == 3


@pytest.mark.slow
def test_what_was_made_without_a_grant_stays_as_it_is(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    inputs = rows(place, REJECTED)
    with teacher(READABLE, monkeypatch):
        dmforge("run", "--retry-rejected", REASON, "-w", place)
    before = lake_digest(place)
    grant_by_hand(place, inputs)
    assert fresh_digest(place, monkeypatch) == before


@pytest.mark.slow
def test_without_a_grant_the_digest_is_what_it_was(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = lake_digest(place)
    assert not attempts_file(place).exists()
    assert fresh_digest(place, monkeypatch) == before
    attempts_file(place).write_text("\n")
    assert fresh_digest(place, monkeypatch) == before


@pytest.mark.parametrize("reason", ["its window misses gold", "too dull"])
def test_a_reason_that_no_input_has_is_refused_with_those_that_there_are(reason: str, place: Path) -> None:
    message = dmforge("run", "--retry-rejected", reason, "-w", place, code=2)
    assert f"no input is rejected for '{reason}' now" in message
    assert f"'{REASON}' (3)" in message
    assert not attempts_file(place).exists()


@pytest.mark.parametrize(
    "line",
    [
        "{", "[]", "null", "7", '{"stage": "annotate"}', '{"stage": 1, "input": "task_", "video": "video_", "reason": ""}',
        json.dumps({"stage": "annotate", "input": "task_x", "video": show("video", b"v" * 16), "reason": REASON}),
        json.dumps({"stage": "annotate", "input": show("task", b"t" * 16), "video": show("task", b"v" * 16), "reason": ""}),
        "[" * 100_000,
    ],
)  # fmt: skip
def test_a_line_of_nonsense_is_named(line: str, place: Path) -> None:
    grant_by_hand(place, rows(place, REJECTED)[:1])
    with attempts_file(place).open("a") as file:
        file.write(f"{line}\n")
    message = dmforge("run", "-w", place, code=2)
    assert f"{attempts_file(place)}:2" in message.replace(" ", "")
    assert "hint:" in message


def test_ranks_grant_nothing_and_reopen_what_was_granted(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    share = ("--rank", 0, "--world-size", 1, "-w", place)
    assert "--retry-rejected" in dmforge("run", "--retry-rejected", REASON, *share, code=2)
    grant_by_hand(place, rows(place, REJECTED))
    with teacher(READABLE, monkeypatch):
        dmforge("run", *share)
    assert rows(place, "SELECT count(*) FROM candidates") == [(3,)]


def test_a_takedown_removes_what_was_granted(place: Path) -> None:
    inputs = rows(place, REJECTED)
    grant_by_hand(place, inputs)
    video = inputs[0][1]
    about = sum(other == video for _, other in inputs)
    for words in (["--dry-run"], []):
        taken_down = dmforge("forget", show("video", video), "--reason", "asked to", *words, "-w", place, "--json")
        assert taken_down["removed"]["attempt_lines"] == about
    assert len(attempts_file(place).read_text().splitlines()) == len(inputs) - about


def test_a_merge_takes_over_what_the_other_granted_beyond(place: Path, tmp_path: Path, rejected: Path) -> None:
    other, inputs = shutil.copytree(rejected, tmp_path / "other"), rows(place, REJECTED)
    grant_by_hand(place, inputs[:2])
    grant_by_hand(other, [inputs[0], inputs[0], inputs[2]])
    for _ in range(2):
        dmforge("merge", other, "-w", place)
        rounds = further_attempts.rounds_by_input(WorkspaceFolder(place), "annotate")
        assert rounds == {inputs[0][0]: 2, inputs[1][0]: 1, inputs[2][0]: 1}


def test_no_two_rounds_or_parts_share_an_attempt(tmp_path: Path) -> None:
    place, draft = WorkspaceFolder(tmp_path), digest("draft", 1)
    stage = Admit(AdmitConfig(model="m", attempts=3))
    stage.read_granted(place)
    assert [stage.attempts(draft, index, 2) for index in range(2)] == [[0, 1, 2], [3, 4, 5]]
    further_attempts.grant(place, [FurtherRound("admit", draft, "draft", digest("video", 1), REASON)] * 2)
    stage.read_granted(place)
    assert [stage.attempts(draft, index, 2) for index in range(2)] == [
        [0, 1, 2, 6, 7, 8, 12, 13, 14],
        [3, 4, 5, 9, 10, 11, 15, 16, 17],
    ]
    assert stage.attempts(digest("draft", 2)) == [0, 1, 2]
