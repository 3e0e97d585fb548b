"""Prompts and requests as columns: what each answer was asked with, what it cost, and what came of it."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from dmforge.curation.audit import query
from dmforge.curation.lake.journal_seals import sealed_line
from dmforge.schemas.ids import show
from tests.audit.intervals import wilson
from tests.audit.parts import rows
from tests.audit.test_queries import Answer, by


def sealed(line: dict[str, Any]) -> bytes:
    """A line of the journal that was changed, as if it had been written so."""
    return sealed_line({name: value for name, value in line.items() if name != "sha256"})


def test_prompts_are_told_apart_by_what_the_journal_says(workspace: Path, answer: Answer, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(workspace, tmp_path / "ws"))
    journal = copy / "journal/oracle/main.jsonl"
    lines = {line["key"]: line for line in map(json.loads, journal.read_bytes().splitlines())}
    for line in lines.values():
        prompt = line["answer"]["asked"]["prompt"]
        text = (Path(query.__file__).parents[2] / f"generators/prompts/{prompt}.md").read_bytes()
        assert line["answer"]["asked"]["prompt_sha256"] == hashlib.sha256(text).hexdigest()
    candidates = rows(copy, "candidates")
    changed = candidates[: len(candidates) // 2]
    for one in changed:  # as if they had been asked with an older prompt
        lines[show("ask", one["requests"][0])]["answer"]["asked"]["prompt_sha256"] = "0" * 64
    journal.write_bytes(b"".join(map(sealed, lines.values())))
    found = by(answer("prompts", "-w", copy), "stage", "prompt", "digest")
    kept = {row["candidate"] for row in rows(copy, "samples")}
    correct = {row["subject"]: row["score"] >= 0.5 for row in rows(copy, "verdicts") if row["filter"] == "answer"}
    seen = 0
    for (stage, prompt, digest), row in found.items():
        of_prompt = [line for line in lines.values() if line["answer"]["asked"]["prompt"] == prompt
                     and line["answer"]["asked"]["prompt_sha256"].startswith(digest)]  # fmt: skip
        usage = [line["answer"]["usage"] for line in of_prompt]
        usd = sum(one["prompt_tokens"] + 4 * one["completion_tokens"] for one in usage) / 1e6
        keys = {line["key"] for line in of_prompt}
        own = [one["id"] for one in candidates if keys & {show("ask", key) for key in one["requests"]}]
        right, own_kept = sum(correct[one] for one in own), len(kept.intersection(own))
        assert (stage, row["answers"], row["candidates"]) == ("annotate", len(of_prompt), len(own))
        assert row["usd"] == pytest.approx(usd, abs=1e-4)
        assert [row["right"], row["kept"]] == [pytest.approx(right / len(own), abs=1e-4), own_kept]
        assert [row["right_low"], row["right_high"]] == pytest.approx(wilson(right, len(own)), abs=1e-4)
        assert row["usd_per_kept"] == pytest.approx(usd / own_kept, abs=1e-6)
        seen += len(of_prompt)
    assert seen == len(lines)
    assert {prompt for _, prompt, _ in found} == {"look", "answer"}
    assert found["annotate", "look", "0" * 12]["candidates"] == len(changed)


def test_each_request_of_a_candidate_says_what_it_was_asked_with_and_cost(workspace: Path, answer: Answer) -> None:
    found = by(answer("--sql", "SELECT * FROM candidate_requests", "-w", workspace), "candidate", "nth")
    candidates = rows(workspace, "candidates")
    assert len(found) == sum(len(one["requests"]) for one in candidates)
    lines = {line["key"]: line for line in map(json.loads, (workspace / "journal/oracle/main.jsonl").read_bytes().splitlines())}
    for one in candidates:
        for nth, request in enumerate(one["requests"], 1):
            row, told = found[show("candidate", one["id"]), nth], lines[show("ask", request)]["answer"]
            assert row["request"] == show("ask", request)
            assert {name: row[name] for name in told["asked"]} == told["asked"]
            assert (row["attempt"], row["model"], row["prompt"]) == (one["attempt"], "oracle", ("look", "answer")[nth - 1])
            cost = (told["usage"]["prompt_tokens"] + 4 * told["usage"]["completion_tokens"]) / 1e6
            assert row["usd"] == pytest.approx(cost, abs=1e-9)


def test_answers_that_say_nothing_of_their_prompt_stand_apart(workspace: Path, answer: Answer, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(workspace, tmp_path / "ws"))
    journal = copy / "journal/oracle/main.jsonl"
    lines = [json.loads(line) for line in journal.read_bytes().splitlines()]
    for line, said in zip(lines, [None, "x", {"prompt": 3, "attempt": True, "stage": "\ud800"}], strict=False):
        line["answer"]["asked"] = said
    journal.write_bytes(b"".join(map(sealed, lines)))
    found = by(answer("prompts", "-w", copy), "stage", "prompt", "digest")
    assert found[None, None, None]["answers"] == 3
    (faulty,) = answer("--sql", "SELECT fault FROM answers WHERE fault IS NOT NULL", "-w", copy)
    assert "line 3" in faulty["fault"]
