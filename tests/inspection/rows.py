"""Rows of a sound set, and the faults that are planted into it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from typer.testing import CliRunner

from dmforge import cli

THINGS = (
    "ladder", "guitar", "kettle", "window", "hammer", "carpet", "bucket", "mirror", "candle", "basket", "pillow", "rocket",
    "wallet", "helmet", "tunnel", "bridge", "pencil", "blanket", "curtain", "lantern", "saddle", "trumpet", "scooter", "anchor",
    "violin", "balloon", "compass", "cabinet", "hammock", "magnet", "spinach", "teapot", "tractor", "umbrella", "whistle",
    "zipper", "abacus", "bonnet", "canoe", "dagger",
)  # fmt: skip
OPTIONS = ("jumps", "falls", "spins", "turns")


def sound(number: int) -> dict[str, Any]:
    """A question that is like no other one."""
    thing, other_thing = THINGS[number % len(THINGS)], THINGS[number * 7 // len(THINGS) % len(THINGS)]
    question = f"What becomes of the {thing} near the {other_thing} shop?"
    return {
        "video": f"v{number}.mp4", "kind": "grounded_mcq", "question": question,
        "options": list(OPTIONS), "answer": "ABCD"[number % 4], "windows": [[1.0, 3.5]],
    }  # fmt: skip


def written(path: Path, *rows: object) -> Path:
    """Rows as lines of JSON; a text is a line as it is."""
    path.write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows))
    return path


def inspect(*words: object, code: int = 0) -> Any:
    """The document of `dmforge inspect`, or what it says where it fails."""
    done = CliRunner().invoke(cli.app, ["inspect", *map(str, words), "--json"])
    assert done.exit_code == code, done.output
    assert "Traceback" not in done.output
    return json.loads(done.stdout) if not code else done.output


def counts(document: Any) -> dict[str, int]:
    return {finding["check"]: finding["count"] for finding in document["findings"]}
