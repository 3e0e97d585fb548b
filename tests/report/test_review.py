"""A review in a real browser, and at its door: who may come in, what is written down, and what becomes of it."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, Route

from dmforge.commands import audit, run
from dmforge.commands.select import what_if
from dmforge.curation.sources.reviews import Review, append, review_path, reviews_of
from dmforge.curation.workspace_folder import WorkspaceFolder
from dmforge.schemas.errors import InputError
from dmforge.schemas.ids import digest, read, show
from tests.audit.intervals import wilson
from tests.report.hostile import finish
from tests.report.test_page import OUTSIDE, OVERLAPS


@dataclass
class Serving:
    address: str
    process: subprocess.Popen[str]

    @property
    def port(self) -> int:
        return urlsplit(self.address).port or 0

    @property
    def token(self) -> str:
        return urlsplit(self.address).query.removeprefix("token=")

    def ask(self, path: str, method: str = "GET", body: str | None = None, **headers: str) -> tuple[int, bytes]:
        """As a program would, with headers that no browser would send; None leaves the cookie out."""
        told = {"Cookie": f"dmforge-{self.port}={self.token}"} | {k.replace("_", "-"): v for k, v in headers.items()}
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        connection.request(method, path, body, told)
        answer = connection.getresponse()
        return answer.status, answer.read()


@contextmanager
def serving_command(*words: str) -> Iterator[Serving]:
    """A command that serves a page, as a person starts it; Ctrl-C ends it."""
    command = [sys.executable, "-m", "dmforge.cli", *words]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdout is not None
        try:
            yield Serving(process.stdout.readline().strip(), process)
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGINT)
            process.wait(20)


@contextmanager
def serving(workspace: WorkspaceFolder, name: str = "anna", sample: int = 100) -> Iterator[Serving]:
    with serving_command("review", "cot", "--sample", str(sample), "--as", name, "-w", str(workspace.root)) as server:
        yield server


@pytest.fixture
def desk(browser: Browser) -> Iterator[BrowserContext]:
    """Closed however the test ends: a page that plays on would slow the next ones."""
    with browser.new_context(viewport={"width": 1280, "height": 900}) as context:
        yield context


def until(page: Page, condition: str) -> None:
    """`wait_for_function` would need the page to allow eval, and it doesn't."""
    deadline = time.monotonic() + 30
    while not page.evaluate(condition):
        assert time.monotonic() < deadline, condition
        page.wait_for_timeout(50)


def kept(workspace: WorkspaceFolder) -> set[str]:
    told = audit.audit(workspace, "funnel")
    return {f"{stage} {status} {reason}: {n}" for stage, status, reason, n, _ in told.rows if stage in ("human", "select_cot")}


@pytest.mark.slow
def test_a_rejection_by_keyboard_changes_what_is_selected(
    desk: BrowserContext, workspace: WorkspaceFolder, shots: Path
) -> None:
    before = what_if(workspace, "cot", None)
    assert before.kept == 12
    with serving(workspace) as server:
        page = desk.new_page()
        told: list[str] = []
        page.on("console", lambda message: told.append(message.text) if message.type in ("error", "warning") else None)
        page.on("dialog", lambda dialog: (told.append("dialog"), dialog.dismiss()))
        page.goto(server.address)
        page.wait_for_selector("#sample .question")
        assert page.url == f"http://127.0.0.1:{server.port}/"
        (cookie,) = desk.cookies()
        assert (cookie["httpOnly"], cookie["sameSite"]) == (True, "Strict")
        page.screenshot(path=shots / "review-1280.png")
        page.keyboard.press("y")
        page.wait_for_selector("#list li:nth-child(1).keep")
        page.wait_for_selector("#list li:nth-child(2)[aria-current]")
        second = json.loads(server.ask("/samples")[1])["samples"][1]["id"]
        page.wait_for_selector(f"#sample[data-id='{second}']")
        until(page, "document.querySelector('video').readyState > 0")
        page.keyboard.press(" ")
        until(page, "document.querySelector('video').currentTime > 1.2")  # the look begins at 1 s
        until(page, "document.querySelector('video').paused && document.querySelector('video').currentTime >= 4")
        page.keyboard.press("x")
        page.fill("#note", "off by \u202e a lot")
        page.keyboard.press("Escape")
        page.keyboard.press("x")
        page.keyboard.press("2")
        page.wait_for_selector("#list li:nth-child(2).reject")
        page.wait_for_selector("#list li:nth-child(3)[aria-current]")
        page.keyboard.press("k")
        page.wait_for_selector("#list li:nth-child(2)[aria-current]")
        page.keyboard.press("u")
        page.wait_for_selector("#list li:nth-child(3)[aria-current]")
        assert page.inner_text("#progress") == "2 of 12 decided as anna"
        assert page.evaluate("window.planted") is None
        page.set_viewport_size({"width": 360, "height": 740})
        assert page.evaluate("document.documentElement.scrollWidth") <= 360
        page.screenshot(path=shots / "review-360.png")
        assert told == []
        page.close()
        server.process.send_signal(signal.SIGINT)
        assert server.process.wait(20) == 0  # Ctrl-C is how a review ends
    lines = [json.loads(line) for line in review_path(workspace, "anna").read_text().splitlines()]
    assert [(line["decision"], line["reason"]) for line in lines] == [("keep", ""), ("reject", "wrong window")]
    finish(workspace)
    assert "select_cot rejected below threshold: human: 1" in kept(workspace)
    assert "human made : 2" in kept(workspace)
    assert what_if(workspace, "cot", None).kept == 11
    append(workspace, mind_changed(workspace, lines[1]))
    finish(workspace)
    assert what_if(workspace, "cot", None) == before


def mind_changed(workspace: WorkspaceFolder, line: dict[str, Any]) -> Review:
    (review,) = [
        r for r in reviews_of(review_path(workspace, "anna")).values() if show("candidate", r.subject) == line["subject"]
    ]
    return Review(review.video, review.subject, "candidate", "anna", "keep", "", "")


def test_the_door(workspace: WorkspaceFolder) -> None:
    with serving(workspace) as server:
        own = f"http://127.0.0.1:{server.port}"
        first = json.loads(server.ask("/samples")[1])["samples"][0]["id"]
        assert server.ask(f"/samples/{first}") == server.ask(f"/samples/{read(first)[1].hex()}")
        good = json.dumps({"id": first, "decision": "reject", "reason": "unsafe"})
        form = {"Content_Type": "application/json"}
        refused = [
            server.ask("/samples", Cookie=""),
            server.ask("/samples", Cookie=f"dmforge-{server.port}=wrong"),
            server.ask(f"/samples?token={server.token}", Cookie=""),
            server.ask("/?token=wrong", Cookie=""),
            server.ask("/samples", Host="evil.example"),
            server.ask("/samples", Host=f"evil.example:{server.port}"),
            server.ask("/samples", Origin="https://evil.example"),
            server.ask("/samples", Origin="null"),
            server.ask("/samples", Sec_Fetch_Site="cross-site"),
            server.ask("/samples", Sec_Fetch_Site="same-site"),
            server.ask("/reviews", "POST", good, **form),
            server.ask("/reviews", "POST", good, Origin="https://evil.example", **form),
        ]
        assert [status for status, _ in refused] == [403] * len(refused)
        assert not review_path(workspace, "anna").exists()
        bad = [
            (good.replace("unsafe", "because"), 400), (good.replace("reject", "keep"), 400), ("{", 400), ("[]", 400),
            (good.replace(first, show("candidate", digest("no", "one"))), 404), (good.replace(first, "x" * 5000), 404),
            (good.replace("unsafe", "unsafe" + " " * 20_000), 413),
        ]  # fmt: skip
        for body, status in bad:
            assert server.ask("/reviews", "POST", body, Origin=own, **form)[0] == status, body[:80]
        assert server.ask("/reviews", "POST", good, Origin=own, Content_Type="text/plain")[0] == 415
        for path in ("/media/../../recipe.toml", "/media/..%2f..%2frecipe.toml.mp4", "/assets/..%2f..%2f__init__.py",
                     "/assets/page.html", f"/media/{first.partition('_')[2]}.mp4", "/nowhere"):  # fmt: skip
            assert server.ask(path)[0] == 404, path
        video = audit.audit(workspace, "funnel") and next(workspace.media.glob("*/*.coarse.mp4")).name.partition(".")[0]
        assert server.ask(f"/media/{video}.mp4", Range="bytes=4-7") == (206, b"ftyp")
        assert server.ask("/reviews", "POST", good, Origin=own, **form)[0] == 200
        assert [r.reason for r in reviews_of(review_path(workspace, "anna")).values()] == ["unsafe"]
        workspace.forgotten.write_text(json.dumps({"video": f"video_{video}", "reason": "asked"}) + "\n")
        assert server.ask(f"/media/{video}.mp4")[0] == 404
        with pytest.raises(ConnectionRefusedError):
            http.client.HTTPConnection("127.0.0.2", server.port, timeout=5).request("GET", "/")


JUNK = (b"\xff\xfe", b"\xed\xa0\x80", b"%ff%fe", b"%ed%a0%80", b"\x00", b"%", b"\xc3\xa9", b"\xc2\xb2", b"=;=;", b"a" * 9_000)


def test_whatever_bytes_come_the_answer_is_a_refusal(workspace: WorkspaceFolder) -> None:
    with serving(workspace) as server:
        name, own = f"dmforge-{server.port}=".encode(), f"127.0.0.1:{server.port}".encode()
        cookie, origin = b"Cookie: " + name + server.token.encode(), b"Origin: http://" + own

        def status(first: bytes, *headers: bytes, body: bytes = b"") -> int:
            head = (first + b" HTTP/1.1", b"Host: " + own, *headers, b"Content-Length: %d" % len(body), b"Connection: close")
            with socket.create_connection(("127.0.0.1", server.port), timeout=30) as door:
                door.sendall(b"\r\n".join(head) + b"\r\n\r\n" + body)
                return int(door.makefile("rb").readline().split()[1])

        for junk in JUNK:
            asked = [
                status(b"GET /samples", b"Cookie: " + name + junk),
                status(b"GET /samples", b"Cookie: " + junk),
                status(b"GET /?token=" + junk),
                *(status(b"GET /samples", b"%s: %s" % (header, junk), cookie) for header in (b"Origin", b"Sec-Fetch-Site")),
                *(status(b"GET " + path, cookie, b"Expect: " + junk) for path in (b"/samples", b"/nowhere")),
                *(
                    status(b"GET %s%s" % (path, junk), cookie)
                    for path in (b"/samples/", b"/samples?after=", b"/media/", b"/assets/")
                ),
                status(junk + b" /", cookie),
                status(b"POST /reviews", cookie, origin, b"Content-Type: application/json", body=b'{"id": "%s"}' % junk),
                status(b"POST /reviews", cookie, origin, b"Content-Type: " + junk, body=b"{}"),
            ]
            assert all(400 <= each < 500 for each in asked), (junk[:20], asked)


@pytest.mark.slow
def test_the_second_reviewer_sees_what_the_first_rejected(workspace: WorkspaceFolder) -> None:
    with serving(workspace) as server:
        before = [sample["id"] for sample in json.loads(server.ask("/samples")[1])["samples"]]
        own = f"http://127.0.0.1:{server.port}"
        for number, id in enumerate(before):
            told = {"id": id, "decision": "reject", "reason": "other"} if number < 3 else {"id": id, "decision": "keep"}
            server.ask("/reviews", "POST", json.dumps(told), Origin=own, Content_Type="application/json")
    finish(workspace)
    assert what_if(workspace, "cot", None).kept == len(before) - 3
    with serving(workspace, "bert") as server:
        assert [sample["id"] for sample in json.loads(server.ask("/samples")[1])["samples"]] == before
        own = f"http://127.0.0.1:{server.port}"
        for number, id in enumerate(before):
            told = {"id": id, "decision": "reject", "reason": "other"} if number < 2 else {"id": id, "decision": "keep"}
            server.ask("/reviews", "POST", json.dumps(told), Origin=own, Content_Type="application/json")
    finish(workspace)
    told = audit.audit(workspace, "agreement")
    ((*_, agreed, kappa, kappa_low, kappa_high),) = told.rows
    # 11 of 12 agree; by chance they would in (9 * 10 + 3 * 2) / 144
    shares = (11 / 12, *wilson(11, 12))
    assert (kappa, kappa_low, kappa_high) == pytest.approx([(share - 96 / 144) / (1 - 96 / 144) for share in shares], abs=1e-3)
    assert agreed == round(11 / 12, 3)


@pytest.mark.parametrize("name", ["../x", "Anna", "", "a/b", "-x", "a" * 41, "a\n", "con.txt"])
def test_a_name_that_is_no_name_is_refused(workspace: WorkspaceFolder, name: str) -> None:
    with pytest.raises(InputError, match="is not a name for a reviewer"):
        review_path(workspace, name)


def test_half_a_line_is_no_decision_and_spoils_none(workspace: WorkspaceFolder) -> None:
    one, other = (Review(digest("v", 1), digest("c", n), "candidate", "anna", "keep", "", "") for n in (1, 2))
    append(workspace, one)
    path = review_path(workspace, "anna")
    with path.open("ab") as file:
        file.write(b'{"subject": "candi')
    assert list(reviews_of(path)) == [one.subject]
    append(workspace, other)
    assert list(reviews_of(path)) == [one.subject, other.subject]
    whole = path.read_text()
    for bad in ("{}", whole.splitlines()[0].replace('"note": ""', '"note": "\\ud800"'), "[" * 100_000):
        path.write_text(f"{whole}{bad}\n")
        with pytest.raises(InputError, match="not a review"):
            reviews_of(path)


def test_a_takedown_takes_reviews_with_it(workspace: WorkspaceFolder) -> None:
    videos = sorted(path.name.partition(".")[0] for path in workspace.media.glob("*/*.coarse.mp4"))
    first = read(f"video_{videos[0]}")[1]
    append(workspace, Review(first, digest("c", 1), "candidate", "anna", "keep", "", "secret"))
    append(workspace, Review(digest("v", 2), digest("c", 2), "candidate", "anna", "keep", "", ""))
    finish(workspace)
    removed = run.forget(workspace, "test", "asked", lambda _: [first])
    assert removed.review_lines == 1
    assert "secret" not in review_path(workspace, "anna").read_text()
    assert len(reviews_of(review_path(workspace, "anna"))) == 1
    with review_path(workspace, "anna").open("a") as file:
        file.write('{"note": "secret"')  # cut short by a crash: nobody can say what it is about
    run.forget(workspace, "test", "asked", lambda _: [first])
    assert "secret" not in review_path(workspace, "anna").read_text()
    with pytest.raises(InputError, match="taken down"):
        append(workspace, Review(first, digest("c", 1), "candidate", "anna", "keep", "", ""))


def test_what_is_decided_is_what_is_seen(desk: BrowserContext, workspace: WorkspaceFolder) -> None:
    with serving(workspace) as server:
        page = desk.new_page()
        first, second = [sample["id"] for sample in json.loads(server.ask("/samples")[1])["samples"]][:2]
        held: list[Route] = []
        page.route(f"**/samples/{second}", lambda route: held.append(route))
        page.goto(server.address)
        page.wait_for_selector(f"#sample[data-id='{first}']")
        page.keyboard.press("j")
        page.wait_for_selector("#list li:nth-child(2)[aria-current]")
        page.keyboard.press("y")  # the first one is still on the page
        page.wait_for_selector("#trouble:not([hidden])")
        assert not review_path(workspace, "anna").exists()
        for _ in range(500):  # it may take its time to be asked for
            if not held:
                page.wait_for_timeout(20)
        held[0].continue_()
        page.wait_for_selector(f"#sample[data-id='{second}']")
        page.wait_for_selector("#trouble", state="hidden")
        twice = "for (const key of 'yy') document.body.dispatchEvent(new KeyboardEvent('keydown', {key, bubbles: true}))"
        page.evaluate(twice)
        page.wait_for_selector("#list li:nth-child(3)[aria-current]")
        assert list(map(show_subject, reviews_of(review_path(workspace, "anna")).values())) == [second]
        assert len(review_path(workspace, "anna").read_text().splitlines()) == 1


def show_subject(review: Review) -> str:
    return show(review.subject_kind, review.subject)


def test_pages_of_a_large_review_come_by_key(workspace: WorkspaceFolder) -> None:
    with serving(workspace, sample=5) as server:
        told = json.loads(server.ask("/samples")[1])
        ids = [sample["id"] for sample in told["samples"]]
        assert (len(ids), told["total"], told["next"]) == (5, 5, None)
        assert [s["id"] for s in json.loads(server.ask(f"/samples?after={ids[2]}")[1])["samples"]] == ids[3:]
        assert server.ask("/samples?after=%27%20OR%201=1")[0] in (400, 404)


def test_what_nobody_would_read_is_not_asked(workspace: WorkspaceFolder) -> None:
    unread = workspace.recipe.read_text().replace("[stages.human]\n", "").replace("human = 1.0", "")
    workspace.recipe.write_text(unread)
    words = [sys.executable, "-m", "dmforge.cli", "review", "cot", "--as", "anna", "-w", str(workspace.root)]
    done = subprocess.run(words, capture_output=True, text=True, env={**os.environ})
    assert done.returncode == 2
    assert "human" in done.stderr


@pytest.mark.slow
def test_a_review_can_be_read_on_a_phone_and_on_a_desk(browser: Browser, workspace: WorkspaceFolder) -> None:
    with serving(workspace) as server:
        for width in (360, 1440):
            page = browser.new_page(viewport={"width": width, "height": 800})
            page.goto(server.address)
            page.wait_for_selector("#sample .question")
            assert page.evaluate("document.documentElement.scrollWidth") <= width
            assert page.evaluate(OUTSIDE) == []
            assert page.evaluate(OVERLAPS.replace(".concat(document.querySelector('.top'))", "")) == []
            page.close()
