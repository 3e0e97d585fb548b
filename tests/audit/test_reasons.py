"""Reasons with their files: how many inputs and videos each concerns, and which have the most of it."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest

from tests.audit.conftest import ask
from tests.audit.parts import rows
from tests.audit.test_queries import Answer, Scored, asked, by


def test_reasons_are_counted_by_input_and_by_video(scored: Scored) -> None:
    outcomes = rows(scored[0], "outcomes")
    given = Counter(row["stage"] for row in outcomes)
    groups: dict[tuple[str, str], list[bytes]] = {}
    for row in outcomes:
        if row["status"] != "made":
            groups.setdefault((row["stage"], row["reason"]), []).append(row["video"])
    found = by(asked(scored, "reasons"), "stage", "reason")
    assert {key: (row["inputs"], row["videos"]) for key, row in found.items()} == {
        key: (len(videos), len(set(videos))) for key, videos in groups.items()
    }
    for (stage, _), row in found.items():
        assert row["share"] == pytest.approx(row["inputs"] / given[stage], abs=1e-4)


def test_each_reason_names_the_files_with_the_most_of_it(workspace: Path, answer: Answer) -> None:
    listed = [json.loads(line) for line in (workspace / "inputs/videos.jsonl").read_text().splitlines()]
    names = {bytes.fromhex(one["sha256"])[:16]: one["source_id"] for one in listed}
    found = by(answer("reasons", "-w", workspace), "stage", "reason")
    assert found
    for (stage, reason), row in found.items():
        counts = Counter(
            names[one["video"]]
            for one in rows(workspace, "outcomes", stage)
            if one["status"] != "made" and one["reason"] == reason
        )
        first = sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))[:3]
        assert row["files"] == ", ".join(f"{name} {count}" for name, count in first)
        assert ask("why", first[0][0], "-w", workspace).stdout.startswith("video_")
