"""Browse over HTTP: what its pages say is what the lake holds, and nobody else is let in."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import pytest

from dmforge.commands import audit, intake, run
from dmforge.curation.audit.sql_sandbox import SqlLimits
from dmforge.curation.report.html_text import plain
from dmforge.curation.sources.reviews import review_path, reviews_of
from dmforge.curation.workspace_folder import WorkspaceFolder
from dmforge.schemas.ids import digest, read, show
from tests.report.hostile import NAMES, PLANTS, SOURCE, answer, finish
from tests.report.test_review import Serving, serving_command

JSON = {"Content_Type": "application/json"}


@contextmanager
def browsing(workspace: WorkspaceFolder, *words: str) -> Iterator[Serving]:
    with serving_command("browse", *words, "-w", str(workspace.root)) as server:
        yield server


@pytest.fixture(scope="module")
def looked_at(built: WorkspaceFolder, tmp_path_factory: pytest.TempPathFactory) -> WorkspaceFolder:
    return WorkspaceFolder(Path(shutil.copytree(built.root, tmp_path_factory.mktemp("browse") / "ws")))


@pytest.fixture(scope="module")
def server(looked_at: WorkspaceFolder) -> Iterator[Serving]:
    """One server for all that only look."""
    with browsing(looked_at) as serving:
        yield serving


def said(server: Serving, path: str) -> Any:
    status, body = server.ask(path)
    assert status == 200, body
    return json.loads(body)


def sql(workspace: WorkspaceFolder, question: str) -> list[list[Any]]:
    with audit.ask_sql(workspace, question, SqlLimits()) as answer_stream:
        return [list(row.values()) for batch in answer_stream.batches for row in batch.to_pylist()]


def counts(server: Serving, column: str, view: str = "") -> dict[str, int]:
    (facet,) = said(server, f"/facets?of={column}&{view}")
    return {name["name"]: name["rows"] for name in facet["names"] if name["rows"]}


def every_row(server: Serving, view: str = "") -> list[dict[str, Any]]:
    pages = said(server, f"/rows?{view}")["pages"]
    return [row for page in range(1, pages + 1) for row in said(server, f"/rows?{view}&page={page}")["rows"]]


def test_rows_are_all_candidates_and_the_tasks_that_something_became_of(looked_at: WorkspaceFolder, server: Serving) -> None:
    rows = every_row(server)
    candidates = {show("candidate", row_id) for (row_id,) in sql(looked_at, "SELECT id FROM candidates")}
    assert {row["id"] for row in rows if row["subject"] == "candidate"} == candidates
    tasks = """SELECT id FROM tasks WHERE id IN (SELECT input FROM outcomes WHERE status <> 'made')
        OR id IN (SELECT task FROM samples WHERE candidate IS NULL) OR id NOT IN (SELECT task FROM candidates)"""
    assert {row["id"] for row in rows if row["subject"] == "task"} == {show("task", i) for (i,) in sql(looked_at, tasks)}
    assert said(server, "/rows")["total"] == len(rows) == len({row["id"] for row in rows})


def test_counts_are_those_of_the_lake(looked_at: WorkspaceFolder, server: Serving) -> None:
    rows = every_row(server)
    kept = sql(looked_at, "SELECT corpus, count(*) FROM samples GROUP BY corpus")
    assert {name: n for name, n in counts(server, "state").items() if name.startswith("kept")} == {
        f"kept in {c}": n for c, n in kept
    }
    rejected = counts(server, "reason", "subject=candidate")
    assert rejected["select_cot: below threshold: window"] == 12
    assert counts(server, "kind") == Counter(row["kind"] for row in rows)
    assert counts(server, "source") == {SOURCE: len(rows)}
    assert counts(server, "licence") == {"<u>CC0</u>": len(rows)}
    teachers = counts(server, "teacher")
    assert {plain(name): number for name, number in teachers.items()} == Counter(row["teacher"] for row in rows)
    both = urlencode([("kind", "grounding"), ("reason", "")])
    assert said(server, f"/rows?{both}")["total"] == sum(row["kind"] == "grounding" and not row["reason"] for row in rows)
    # another choice of the same column is counted as if none of it were made
    assert counts(server, "kind", "kind=mcq") == counts(server, "kind")
    assert counts(server, "subject", "kind=mcq") == {"task": sum(row["kind"] == "mcq" for row in rows)}


def test_scores_are_ranges_and_an_order(looked_at: WorkspaceFolder, server: Serving) -> None:
    by_filter = {score["filter"]: score for score in said(server, "/scores?subject=candidate")}
    assert by_filter["window"]["min_score"] == 1.0
    lowest = "SELECT c.id, min(v.score) FROM candidates c JOIN verdicts v ON v.subject IN (c.id, c.task, c.video) \
        WHERE v.filter = 'window' GROUP BY c.id"
    score_by_id = {show("candidate", row_id): score for row_id, score in sql(looked_at, lowest)}
    assert by_filter["window"]["failing"] == sum(score < 1 for score in score_by_id.values()) > 0
    assert sum(by_filter["window"]["bins"]) == len(score_by_id)
    failing = every_row(server, f"score.window={quote('..<1')}&sort=score.window")
    assert {row["id"] for row in failing} == {row_id for row_id, score in score_by_id.items() if score < 1}
    assert [row["score"] for row in failing] == sorted(score_by_id[row["id"]] for row in failing)
    rising = [row["score"] for row in every_row(server, "sort=score.window") if row["score"] is not None]
    falling = [row["score"] for row in every_row(server, "sort=-score.window")]
    assert falling[: len(rising)] == rising[::-1]
    assert set(falling[len(rising) :]) == {None}  # what nobody measured is last either way
    assert said(server, "/rows?score.window=0.5..0.9")["total"] == sum(0.5 <= score <= 0.9 for score in score_by_id.values())


@pytest.mark.parametrize(
    "words", ["onfocus", "ONERROR=window.planted=2>", "early zalgo", "{{ 7*7", "blue", "nobody-says-this", "W" * 90]
)
def test_a_search_finds_what_holds_all_its_words(looked_at: WorkspaceFolder, server: Serving, words: str) -> None:
    texts = (
        "SELECT c.id, concat_ws(' ', t.question, array_to_string(t.options, ' '), t.answer, array_to_string([p.text FOR p IN \
        c.transcript.pieces IF p.author = 'policy'], ' ')) FROM candidates c JOIN tasks t ON t.id = c.task"
    )
    holding = {
        show("candidate", row_id)
        for row_id, text in sql(looked_at, texts)
        if all(word in text.lower() for word in words.lower().split())
    }
    assert {row["id"] for row in every_row(server, f"q={quote(words)}&subject=candidate")} == holding
    assert bool(holding) != (words in ("nobody-says-this", "blue"))


def test_what_is_no_view_is_refused_in_words(server: Serving) -> None:
    for path, words in {
        "/rows?sort=id;drop": "nothing can be sorted", "/rows?score.nothing=0..1": "there are no scores of",
        "/rows?score.window=0..x": "no range of scores", "/rows?score.window=nan..": "no range of scores",
        "/rows?page=0": "no such page", "/rows?page=x": "no such page", "/facets?of=secret": "there is no column",
        f"/rows?q={'x' * 200}": "too many letters", f"/rows?q={'+'.join('abcdefghijklmnop')}": "too many letters",
        f"/rows?kind={'x' * 8000}": "too long", "/rows?kind=%ff": "not the address of a view",
    }.items():  # fmt: skip
        status, body = server.ask(path)
        assert (status, words in body.decode()) == (400, True), (path, body)
    assert said(server, "/rows?kind=%27%20OR%201=1&source=%3Cscript%3E")["total"] == 0
    assert said(server, "/rows?page=1234567&kind=mcq")["page"] == 1


def test_the_door_is_that_of_the_review(server: Serving) -> None:
    first = said(server, "/rows")["rows"][0]["id"]
    refused = [
        server.ask("/rows", Cookie=""), server.ask("/", Cookie=""), server.ask("/rows", Host="evil.example"),
        server.ask(f"/rows?token={server.token}", Cookie=""), server.ask(f"/samples/{first}", Sec_Fetch_Site="cross-site"),
        server.ask("/views", "POST", "{}", **JSON), server.ask("/views", "POST", "{}", Origin="https://evil.example", **JSON),
    ]  # fmt: skip
    assert [status for status, _ in refused] == [403] * len(refused)
    for path in ("/media/../../recipe.toml", "/assets/..%2f..%2f__init__.py", "/assets/browse.html", "/nowhere", "/samples/x",
                 f"/samples/{show('candidate', digest('no', 1))}", f"/media/{first.partition('_')[2]}.mp4"):  # fmt: skip
        assert server.ask(path)[0] == 404, path
    own = f"http://127.0.0.1:{server.port}"
    keep = json.dumps({"id": first, "decision": "keep"})
    assert server.ask("/reviews", "POST", keep, Origin=own, **JSON)[0] == 403  # it was started without a name
    page = server.ask("/")[1].decode()
    assert "&lt;script&gt;window.planted=" in page
    assert "<script>window" not in page


def test_views_are_saved_by_name(looked_at: WorkspaceFolder, server: Serving) -> None:
    own = f"http://127.0.0.1:{server.port}"

    def save(**view: str) -> tuple[int, bytes]:
        return server.ask("/views", "POST", json.dumps(view), Origin=own, **JSON)

    assert said(server, "/views") == {}
    assert save(name=" <b>mine</b> ", address="kind=mcq")[0] == 200
    assert json.loads(save(name="other", address="q=red&sort=fails")[1]) == {
        "<b>mine</b>": "kind=mcq",
        "other": "q=red&sort=fails",
    }
    assert json.loads(save(name="<b>mine</b>", address="kind=open")[1])["<b>mine</b>"] == "kind=open"
    assert (
        save(name="", address="kind=open")[0]
        == save(name="x" * 61, address="")[0]
        == save(name="x", address="q=" + "y" * 300)[0]
        == 400
    )
    assert json.loads(save(name="<b>mine</b>")[1]) == {"other": "q=red&sort=fails"}
    (looked_at.root / "saved_views.json").write_text("[")
    assert b"saved_views.json" in server.ask("/views")[1]
    (looked_at.root / "saved_views.json").unlink()


def test_decisions_comments_and_corrections_go_where_reviews_go(workspace: WorkspaceFolder) -> None:
    with browsing(workspace, "--as", "anna") as server:
        own = f"http://127.0.0.1:{server.port}"

        def decide(status: int = 200, **told: Any) -> None:
            answered = server.ask("/reviews", "POST", json.dumps(told), Origin=own, **JSON)
            assert answered[0] == status, answered

        kept = every_row(server, urlencode([("state", "kept in cot")]))
        task = kept[2]["task"]
        decide(id=kept[0]["id"], decision="keep", note="good \u202e")
        decide(id=kept[1]["id"], decision="comment", note="is it?")
        decide(id=task, decision="reject", reason="wrong gold", gold={"answer": "C", "windows": ["2.00 - 3.50"]})
        decide(400, id=kept[1]["id"], decision="comment")
        decide(400, id=kept[1]["id"], decision="reject", reason="wrong gold", gold={"answer": "C"})
        decide(400, id=task, decision="reject", reason="wrong gold", gold={"answer": " "})
        decide(400, id=task, decision="reject", reason="wrong gold", gold={"windows": ["3.50 - 2.00"]})
        decide(400, id=task, decision="reject", reason="wrong gold", gold={"windows": ["0.00 - 99999999999.00"]})
        decide(404, id=show("task", digest("no", 1)), decision="keep")
        decided = counts(server, "decision")
        assert (decided["keep"], decided["comment"]) == (1, 1)
        assert sum(decided.values()) == said(server, "/rows")["total"]
        assert every_row(server, "decision=comment")[0]["review"]["note"] == "is it?"
    lines = [json.loads(line) for line in review_path(workspace, "anna").read_text().splitlines()]
    assert [line["decision"] for line in lines] == ["keep", "comment", "reject"]
    assert [line.get("gold") for line in lines] == [None, None, {"answer": "C", "windows": ["2.00 - 3.50"]}]
    review = reviews_of(review_path(workspace, "anna"))[read(task)[1]]
    assert review.gold == "'C', 2.00 - 3.50"
    finish(workspace)
    verdicts = sql(workspace, "SELECT subject_kind, score, reason, detail FROM verdicts WHERE filter = 'human' ORDER BY score")
    assert verdicts[0] == ["task", 0.0, "wrong gold", "anna: gold is 'C', 2.00 - 3.50"]
    assert [verdict[:2] for verdict in verdicts[1:]] == [["candidate", 1.0]]  # a comment judges nothing
    assert ("below threshold: human",) in {tuple(row) for row in sql(workspace, "SELECT DISTINCT reason FROM outcomes")}
    ((origin, of_task, _, _, new_answer, windows, new_windows, reviewer, _),) = audit.audit(workspace, "corrections").rows
    assert show("task", of_task) == task
    assert (new_answer, windows, new_windows, reviewer) == ("C", "1.00 - 4.00", "2.00 - 3.50", "anna")
    assert "written" in origin
    with browsing(workspace, "--as", "anna") as server:
        assert counts(server, "decision")["keep"] == 1
        (row,) = every_row(server, "decision=keep")
        assert (row["id"], row["review"]["note"]) == (kept[0]["id"], "good \u202e")
        (rejected,) = every_row(server, urlencode([("reason", "select_cot: below threshold: human")]))
        assert rejected["task"] == task


def test_what_is_taken_down_goes_from_a_running_browse(workspace: WorkspaceFolder) -> None:
    with browsing(workspace) as server:
        before = every_row(server)
        video = sql(workspace, "SELECT video FROM candidates ORDER BY id LIMIT 1")[0][0]
        gone = {show("candidate", i) for i, v in sql(workspace, "SELECT id, video FROM candidates") if v == video}
        gone |= {show("task", i) for i, v in sql(workspace, "SELECT id, video FROM tasks") if v == video}
        run.forget(workspace, "test", "asked", lambda _: [video])
        after = every_row(server)
        assert {row["id"] for row in after} == {row["id"] for row in before} - gone
        assert 0 < len(after) < len(before)
        assert sum(counts(server, "kind", "kind=mcq").values()) == len(after)
        assert server.ask(f"/samples/{sorted(gone & {row['id'] for row in before})[0]}")[0] == 410
        assert server.ask(f"/media/{show('video', video).partition('_')[2]}.mp4")[0] == 404
        assert said(server, "/rows")["outdated"] is True


def test_candidates_of_one_task_stand_side_by_side(workspace: WorkspaceFolder, tmp_path: Path) -> None:
    again = tmp_path / "again.json"
    question = f"<video>\nFind it. textual query: early {PLANTS[0]}"
    conversations = [{"from": "human", "value": question}, {"from": "gpt", "value": answer("another plant", 2, 6)}]
    rows = [
        {
            "index": 0,
            "video": [f"{NAMES[0]}.mp4"],
            "gemini_suggested_fps": "2",
            "original_fps": 12.0,
            "conversations": conversations,
        }
    ]
    again.write_text(json.dumps(rows))
    intake.add_annotations(workspace, "test", "dynframe", [again])
    finish(workspace)
    with browsing(workspace) as server:
        tasks = Counter(row["task"] for row in every_row(server, "subject=candidate"))
        ((task, number),) = [(task, number) for task, number in tasks.items() if number > 1]
        assert number == 2
        page = server.ask(f"/tasks/{task}")[1].decode()
        assert page.count('<section class="column"') == 2
        assert "another plant" in page
        assert page.count("<video ") == 1
        for row in every_row(server, "subject=candidate"):
            if row["task"] == task:
                assert row["id"] in page


def test_an_empty_workspace_and_a_taken_port_are_refused(workspace: WorkspaceFolder, tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    run.init(empty, "study")

    def refused(*words: str) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "dmforge.cli", "browse", *words], capture_output=True, text=True, timeout=60
        )
        assert done.returncode == 2, done
        return done.stderr

    assert "there is no task in the lake" in refused("-w", str(empty))
    assert "is not a name for a reviewer" in refused("-w", str(workspace.root), "--as", "Anna!")
    with browsing(workspace) as server:
        assert "can't listen there" in refused("-w", str(workspace.root), "--port", str(server.port))
