"""Questions in batches: the same answers at half the price, nothing submitted twice, whatever the provider or a kill does."""

from __future__ import annotations

import asyncio
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from dmforge import cli
from dmforge.curation.contract.budget import Budget
from dmforge.curation.contract.run_events import RunEvents
from dmforge.curation.lake.journal import Journal
from dmforge.curation.workspace_folder import WorkspaceFolder
from dmforge.generators.synthetic.worlds.world_folder import WorldSettings, make_worlds
from dmforge.generators.teacher import batched_requests, client
from dmforge.generators.teacher.batched_requests import BatchedRequests
from dmforge.generators.teacher.client import Teacher
from dmforge.generators.teacher.teacher_config import TeacherConfig
from dmforge.schemas.ids import show
from tests.support.batch_provider import BatchProvider, taking_batches
from tests.support.made_once import made_once
from tests.support.text_requests import text_request

RECIPE = """
name = "batches"
[clips]
coarse_frames = 8
coarse_tokens = 32
look_frames = 8
look_tokens = 32
[stages.ingest]
[stages.import]
[stages.annotate]
[prices.m]
input_usd = 1000
output_usd = 1000
[teacher]
model = "m"
batch = true
retries = 3
"""


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    pauses = {"QUIET_S": 0.1, "FIRST_POLL_S": 0.05, "LONGEST_POLL_S": 0.1, "FIRST_PAUSE_S": 0.02, "LONGEST_PAUSE_S": 0.1}
    for name, seconds in pauses.items():
        monkeypatch.setattr(batched_requests, name, seconds)
    monkeypatch.setattr(client, "FIRST_PAUSE_S", 0.02)
    monkeypatch.setattr(client, "LONGEST_PAUSE_S", 0.1)


def dmforge(*words: object, code: int | None = 0) -> Any:
    done = CliRunner().invoke(cli.app, [str(word) for word in words])
    assert code is None or done.exit_code == code, done.output
    return json.loads(done.stdout) if "--json" in words and done.stdout else done.stderr.replace("\n", " ")


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Worlds that are rendered, with their tasks; and `direct`, the digest of what is made without batches."""

    def make(folder: Path) -> None:
        make_worlds(folder, WorldSettings(videos=4))
        place = folder / "ws"
        (place / "inputs").mkdir(parents=True)
        (place / "recipe.toml").write_text(RECIPE.replace("[stages.annotate]\n", ""))
        dmforge("ingest", folder / "videos", "-w", place)
        dmforge("import", "jsonl", folder / "tasks.jsonl", "-w", place)
        dmforge("run", "-w", place)
        direct = shutil.copytree(place, folder / "direct")
        (direct / "recipe.toml").write_text(RECIPE.replace("batch = true", 'base_url = "{}"'))
        with taking_batches(BatchProvider()) as url:
            (direct / "recipe.toml").write_text((direct / "recipe.toml").read_text().format(url))
            dmforge("run", "-w", direct)
        (folder / "digest").write_text(json.dumps(dmforge("digest", "-w", direct, "--json")))

    return made_once(tmp_path_factory, "batches", make)


def workspace(template: Path, folder: Path, url: str, more: str = "") -> Path:
    place = shutil.copytree(template / "ws", folder / "ws")
    (place / "recipe.toml").write_text(f'{RECIPE}base_url = "{url}"\n{more}')
    return place


def digest(place: Path) -> str:
    return json.dumps(dmforge("digest", "-w", place, "--json"))


def cost_usd(place: Path) -> float:
    records = [json.loads(path.read_text()) for path in place.glob("runs/*.json")]
    return sum(entry["usd"] for record in records for entry in record.get("spent") or ())


def test_two_calls_a_task_go_as_two_waves_at_half_the_price(template: Path, tmp_path: Path) -> None:
    books = BatchProvider()
    with taking_batches(books) as url:
        place = workspace(template, tmp_path, url)
        words = dmforge("run", "-w", place)
    assert digest(place) == (template / "digest").read_text()
    assert len(books.batches) == 2
    assert [len(batch.keys) for batch in books.batches.values()] == [len(next(iter(books.batches.values())).keys)] * 2
    sent, written = books.provider.charged
    assert cost_usd(place) == pytest.approx((sent + written) * 1000 / 1e6 / 2)
    assert cost_usd(place) * 2 == pytest.approx(cost_usd(template / "direct"), rel=0.01)
    assert "batch batch_1 with" in words
    table = dmforge("audit", "cost", "-w", place, "--json")
    assert table["rows"][0][table["columns"].index("usd")] == pytest.approx(cost_usd(place), abs=1e-4)
    again = dmforge("run", "-w", place, "--budget", 1000)
    assert f"spent before: ${cost_usd(place):.2f}" in again
    assert not list(WorkspaceFolder(place).journal.glob("*/batches/*.requests"))
    assert not books.files  # what was sent, and what came, is deleted: it shows people's videos


@pytest.mark.parametrize("seed", [1, pytest.param(2, marks=pytest.mark.slow), pytest.param(3, marks=pytest.mark.slow)])
def test_whatever_goes_wrong_the_same_is_made_and_nothing_is_submitted_twice(template: Path, tmp_path: Path, seed: int) -> None:
    """Uploads and batches that fail before or after they were accepted; results that are missing, failed, repeated, late."""
    books = BatchProvider(fault_share=0.15, seed=seed)
    with taking_batches(books) as url:
        place = workspace(template, tmp_path, url, "batch_requests = 5\n")
        (place / "recipe.toml").write_text((place / "recipe.toml").read_text().replace("retries = 3", "retries = 30"))
        dmforge("run", "-w", place)
    assert digest(place) == (template / "digest").read_text()
    assert books.again == []
    assert sum(books.seen_faults.values()) > 5


@pytest.mark.slow
def test_a_provider_that_has_too_much_waiting_is_given_more_when_a_batch_has_ended(template: Path, tmp_path: Path) -> None:
    books = BatchProvider(max_waiting=6)
    with taking_batches(books) as url:
        place = workspace(template, tmp_path, url, "batch_requests = 5\n")
        dmforge("run", "-w", place)
    assert digest(place) == (template / "digest").read_text()
    assert books.again == []
    assert any(batch.document["status"] == "failed" for batch in books.batches.values())


def test_what_is_out_when_a_run_ends_is_waited_for_by_the_next(template: Path, tmp_path: Path) -> None:
    """A provider that can't be asked after the batch is; then it can: nothing is submitted again."""
    books = BatchProvider(lasts_s=(3600, 3600))
    with taking_batches(books) as url:
        place = workspace(template, tmp_path, url)
        books.get = lambda batch_id: None  # type: ignore
        words = dmforge("run", "-w", place, code=1)
        assert "batch_1 can't be asked after: 404" in words
        assert cost_usd(place) == 0  # it is booked by the run in which its answers come
        assert "requests to m are out in batches" in str(dmforge("status", "-w", place, "--json")["requests_out"])
        assert "requests to m are out in batches" in str(dmforge("plan", "-w", place, "--json")["remarks"])
        del books.get  # type: ignore
        recipe = place / "recipe.toml"
        batched = recipe.read_text()
        for other in ("batch = false", 'batch = false\nearlier_models = ["m"]'):
            model = '"m"' if "earlier" not in other else '"n"'
            recipe.write_text(batched.replace("batch = true", other).replace('model = "m"', f"model = {model}"))
            words = dmforge("run", "-w", place, code=2)
            assert "requests to m are out in batches" in words
            dmforge("plan", "-w", place)
        recipe.write_text(batched)
        books.batches["batch_1"].ends_s = 0
        books.lasts_s = (0.1, 0.1)
        dmforge("run", "-w", place)
    assert digest(place) == (template / "digest").read_text()
    assert books.again == []
    assert len(books.batches) == 2


@pytest.mark.slow
def test_what_nobody_waits_for_any_more_is_kept_and_what_was_taken_down_is_not(template: Path, tmp_path: Path) -> None:
    books = BatchProvider(lasts_s=(3600, 3600))
    with taking_batches(books) as url:
        place = workspace(template, tmp_path, url)
        books.get = lambda batch_id: None  # type: ignore
        dmforge("run", "-w", place, code=1)
        del books.get  # type: ignore
        tasks = dict(dmforge("audit", "--sql", "SELECT video, count(*) FROM tasks GROUP BY 1", "-w", place, "--json")["rows"])
        forgotten = min(tasks)
        words = dmforge("forget", forgotten, "--reason", "test", "-w", place)
        assert f"{tasks[forgotten]} requests with frames of them are out in batches" in words
        books.batches["batch_1"].ends_s, books.lasts_s = 0, (0.1, 0.1)
        dmforge("run", "-w", place, "--videos", 2)
        lines = next(place.glob("journal/m/*.jsonl")).read_text().splitlines()
    kept = {json.loads(line)["key"] for line in lines}
    assert len(books.batches["batch_1"].answered - kept) == tasks[forgotten]  # of the others all, though two were asked about
    assert forgotten not in "".join(lines)
    assert books.again == []


@pytest.mark.slow
def test_a_batch_that_a_person_cancels_is_not_submitted_again_by_the_same_run(template: Path, tmp_path: Path) -> None:
    books = BatchProvider()
    with taking_batches(books) as url:
        place = workspace(template, tmp_path, url)
        create = books.create

        def cancelled(body: dict[str, Any]) -> dict[str, Any]:
            document = create(body)
            if document["id"] == "batch_1":
                books.cancel("batch_1")
            return document

        books.create = cancelled  # type: ignore
        words = dmforge("run", "-w", place, code=1)
        assert "the batch batch_1 was cancelled" in words
        answered = len(books.batches["batch_1"].answered)
        assert 0 < answered < len(books.batches["batch_1"].keys)
        dmforge("run", "-w", place)
    assert digest(place) == (template / "digest").read_text()
    assert books.again == []


def test_a_profile_without_batches_is_refused_before_anything_is_sent(template: Path, tmp_path: Path) -> None:
    place = workspace(template, tmp_path, "http://127.0.0.1:9/v1", 'profile = "ollama"\n')
    assert "ollama takes no batches" in dmforge("run", "-w", place, code=2)


def test_a_record_that_was_spoilt_is_named(template: Path, tmp_path: Path) -> None:
    place = workspace(template, tmp_path, "http://127.0.0.1:9/v1")
    record = place / "journal/m/batches/batches.jsonl"
    record.parent.mkdir(parents=True)
    for content, words in (
        ('{"format": 2}\n', "format 2 is newer"),
        ('{"format": 1}\n{"batch": 3}\n', "line 2 was not written"),
    ):
        record.write_text(content)
        assert words in dmforge("run", "-w", place, code=1)


def test_a_batch_whose_acknowledgement_was_lost_is_looked_for_until_it_is_found(template: Path, tmp_path: Path) -> None:
    """It was made, and from then on the endpoint fails: neither this run nor the next one submits it again."""
    books = BatchProvider()
    with taking_batches(books) as url:
        place = workspace(template, tmp_path, url)
        recipe = place / "recipe.toml"
        recipe.write_text(recipe.read_text().replace("retries = 3", "retries = 1\nwait_timeout_s = 1"))
        books.has_fault = lambda kind: len(books.batches) == 1 and kind in ("before", "after")  # type: ignore
        for _ in range(2):
            assert "no batch can be submitted" in (words := dmforge("run", "-w", place, code=1)) or "asked after" in words
        assert len(books.batches) == 1
        del books.has_fault  # type: ignore
        dmforge("run", "-w", place)
    assert digest(place) == (template / "digest").read_text()
    assert books.again == []
    assert len(books.batches) == 2


def test_a_question_of_a_batch_that_was_lost_meets_the_same_error_again(tmp_path: Path) -> None:
    books, request = BatchProvider(), text_request(show("ask", bytes(16)), "Look.", "What?")
    books.get = lambda batch_id: None  # type: ignore

    async def ask_twice(url: str) -> list[str]:
        config = TeacherConfig(model="m", base_url=url, batch=True)
        journal = Journal(WorkspaceFolder(tmp_path), "m")
        requests = BatchedRequests(config, "annotate", WorkspaceFolder(tmp_path), journal, RunEvents())
        teacher = Teacher(config, "annotate", Budget(), requests)
        async with asyncio.timeout(20):
            outcomes = [(await asyncio.gather(teacher.ask(request), return_exceptions=True))[0] for _ in range(2)]
        await teacher.aclose()
        journal.close()
        return list(map(str, outcomes))

    with taking_batches(books) as url:
        first, second = asyncio.run(ask_twice(url))
    assert "batch_1 can't be asked after: 404" in first
    assert second == first
    assert len(books.batches) == 1


def test_an_error_ends_the_run_though_other_batches_are_out_for_hours(template: Path, tmp_path: Path) -> None:
    books = BatchProvider(lasts_s=(3600, 3600))
    get = books.get
    books.get = lambda batch_id: None if batch_id == "batch_2" else get(batch_id)  # type: ignore
    with taking_batches(books) as url:
        place = workspace(template, tmp_path, url, "batch_requests = 2\n")
        words = dmforge("run", "-w", place, code=1)
    assert "batch_2 can't be asked after: 404" in words
    assert "batch_1 with 2 requests stays out: the next run waits for it" in words
