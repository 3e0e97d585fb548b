"""What a run tells as it goes: on a terminal, at its end and in a log, each request is seen as it ends."""

from __future__ import annotations

import asyncio
import io
import json
import os
import resource
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from rich.console import Console

from dmforge.commands.rank_run import run_share
from dmforge.curation.contract.budget import Budget
from dmforge.curation.contract.request_totals import SpentByStage
from dmforge.curation.contract.run_events import (
    BatchCommitted,
    RequestAnswered,
    RequestFailed,
    RequestRetried,
    RunEnded,
    RunEvent,
    RunEvents,
    StageBegan,
)
from dmforge.curation.engine.event_log import EventLog
from dmforge.curation.engine.progress import StageProgress
from dmforge.curation.lake.partition import Share
from dmforge.curation.workspace_folder import WorkspaceFolder
from dmforge.generators.teacher.client import Teacher, TeacherConfig
from dmforge.schemas.errors import DmforgeError, InputError, Transient
from tests.foundation.lakes import write_recipe
from tests.support.text_requests import text_request
from tests.teachers.endpoint import GOOD, Reply, Script, ask, ask_at, server, status

KEY = "sk-canary-77aa"
BUSY = status(503, {"error": {"message": f"overloaded, {KEY} waits"}})
PRICED = {"prices": {"m": {"input_usd": 1.0, "output_usd": 2.0}}}
USAGE = {"prompt_tokens": 1_000, "completion_tokens": 500}


def events_of(*replies: Reply, raises: type[Exception] | None = None, **settings: object) -> list[RunEvent]:
    """The events of one question to a server with these replies."""
    events: list[RunEvent] = []
    account = Budget(None, RunEvents(events.append))
    if raises is None:
        ask(Script(*replies), account, **settings)
    else:
        with pytest.raises(raises):
            ask(Script(*replies), account, **settings)
    return events


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dmforge.generators.teacher.client.FIRST_PAUSE_S", 0.01)
    monkeypatch.setenv("OPENAI_API_KEY", KEY)


def test_a_request_that_fails_is_told_then_retried_then_answered() -> None:
    failed, retried, answered = events_of(BUSY, status(200, {**GOOD, "usage": USAGE}), **PRICED)
    assert isinstance(failed, RequestFailed)
    assert (failed.stage, failed.model, failed.status, failed.usd) == ("annotate", "m", 503, 0.0)
    assert failed.reason == "overloaded, (the key) waits"
    assert retried == RequestRetried("annotate", "m")
    assert isinstance(answered, RequestAnswered)
    assert (answered.status, answered.input_tokens, answered.output_tokens) == (200, 1_000, 500)
    assert answered.usd == pytest.approx(0.002)
    assert answered.seconds >= 0


def test_what_is_given_up_is_not_told_as_retried() -> None:
    events = events_of(BUSY, raises=Transient, retries=1)
    assert [event.kind for event in events] == ["request failed", "request retried", "request failed"]


def test_no_event_repeats_the_question_or_what_may_be_a_reply() -> None:
    question = "How many red balls cross the line before the bell rings?"
    echo = status(400, {"error": {"message": f"Bad input at messages[1]: {question} is too much"}})
    events: list[RunEvent] = []

    async def put() -> None:
        config = TeacherConfig(model="m", base_url=url)
        teacher = Teacher(config, "annotate", Budget(None, RunEvents(events.append)))
        try:
            await teacher.ask(text_request("ask_1", "Look.", f"Look.\n{question}"))
        finally:
            await teacher.aclose()

    with server(Script(echo)) as url, pytest.raises(DmforgeError, match="Bad input"):
        asyncio.run(put())
    (failed,) = events
    assert isinstance(failed, RequestFailed)
    assert failed.reason.startswith("Bad input at")
    assert "red balls cross" not in failed.reason
    (page,) = events_of(status(200, {"text": "a reply, perhaps"}), raises=Transient, retries=0)
    assert isinstance(page, RequestFailed)
    assert page.reason == "no chat completion came"


def test_nothing_is_told_of_what_was_never_sent() -> None:
    events: list[RunEvent] = []
    with server(Script(BUSY)) as url, pytest.raises(Transient):
        asyncio.run(ask_at(url, Budget(0.0, RunEvents(events.append)), **PRICED))
    assert events == []


def failure(reason: str, status: int = 503) -> RequestFailed:
    return RequestFailed("describe", "m", status, reason, 0, 0, 0.0, 0.1)


ANSWER = RequestAnswered("describe", "m", 200, 100, 10, 0.25, 0.1)


def test_a_log_of_the_terminal_shows_the_first_failure_at_once_and_money_now_and_then() -> None:
    text = io.StringIO()
    with StageProgress(Console(file=text, width=200), "describe", 40) as progress:
        for event in (ANSWER, StageBegan("other", "v", 3), failure("overloaded"), failure("overloaded"), ANSWER):
            progress.follow(event)
        assert text.getvalue() == "describe: 0 of 40; 2 calls, $0.2500, 1 failed, the last: 503: overloaded\n"
        progress._next_line_s = 0.0
        progress.advance(10)
    assert text.getvalue().splitlines()[1].startswith("describe: 10 of 40, ")
    assert text.getvalue().splitlines()[1].endswith("; 4 calls, $0.5000, 2 failed, the last: 503: overloaded")


def test_a_providers_words_fill_no_screen() -> None:
    text = io.StringIO()
    with StageProgress(Console(file=text, width=10_000), "describe", 40) as progress:
        progress.follow(failure("x" * 400 + "\n\x1b[31m"))
    assert len(text.getvalue()) < 250
    assert len(text.getvalue().splitlines()) == 1


def test_what_was_spent_is_summed_by_stage_and_in_all() -> None:
    spent = SpentByStage()
    for event in (ANSWER, ANSWER, failure("no"), RequestAnswered("answer", "m", 200, 1, 2, 1.0, 0.1), RequestRetried("x", "m")):
        spent.follow(event)
    document = spent.as_json()
    assert (document["calls"], document["answers"], document["failures"], document["usd"]) == (4, 3, 1, 1.5)
    assert [(stage["name"], stage["calls"], stage["usd"]) for stage in document["stages"]] == [
        ("describe", 3, 0.5), ("answer", 1, 1.0),
    ]  # fmt: skip


def lines(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_ranks_append_whole_lines_to_one_file_behind_half_a_line(tmp_path: Path) -> None:
    path = tmp_path / "logs" / "run.jsonl"
    path.parent.mkdir()
    path.write_bytes(b'{"time": "20')
    with EventLog(path, 0) as first, EventLog(path, 1) as second:
        for _ in range(3):
            first.follow(ANSWER)
            second.follow(failure("no\nline"))
    torn, *rest = path.read_text().splitlines()
    assert torn == '{"time": "20'
    written = [json.loads(line) for line in rest if line]
    assert [(line["rank"], line["event"]) for line in written] == [(0, "request answered"), (1, "request failed")] * 3


def test_a_run_that_is_refused_before_it_begins_is_in_the_log(tmp_path: Path) -> None:
    with pytest.raises(InputError), EventLog(tmp_path / "log.jsonl"):
        raise InputError("the recipe is none", where="recipe.toml", hint="mend it")
    (line,) = lines(tmp_path / "log.jsonl")
    assert (line["event"], line["state"], line["error"]) == ("run ended", "failed", "recipe.toml: the recipe is none")


@contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    """A limit at which this process's writes fail, as on a full disk."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)


def test_a_full_disk_stops_the_log_and_not_the_run(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    log = EventLog(path)
    with files_of_at_most(400):
        for _ in range(20):
            log.follow(ANSWER)
    with pytest.raises(DmforgeError, match="the log is not complete"):
        log.__exit__(None, None, None)
    assert 0 < path.stat().st_size <= 400


def test_the_log_of_a_pipe_is_the_pipe(tmp_path: Path) -> None:
    reader, writer = os.pipe()
    with EventLog(Path(f"/dev/fd/{writer}")) as log:
        log.follow(ANSWER)
    assert json.loads(os.read(reader, 10_000))["event"] == "request answered"


def test_a_rank_tells_its_stages_and_batches(tmp_path: Path) -> None:
    write_recipe(tmp_path, tasks=30, batch=10)
    events: list[RunEvent] = []
    console = Console(file=io.StringIO())
    list(run_share(WorkspaceFolder(tmp_path), console, "test", Share(0, 1), 0.0, "count", events=RunEvents(events.append)))
    assert [event.kind for event in events[:3]] == ["run began", "stage began", "batch committed"]
    batches = [event for event in events if isinstance(event, BatchCommitted) and event.stage == "count"]
    assert sum(batch.made + batch.rejected + batch.quarantined for batch in batches) == 30
    assert sum(sum(batch.reasons.values()) for batch in batches) == sum(batch.rejected + batch.quarantined for batch in batches)
    assert isinstance(events[-1], RunEnded)
    assert events[-1].state == "done"
