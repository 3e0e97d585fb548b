"""Text of strangers on a terminal: seen, and never obeyed."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from dmforge import cli
from dmforge.curation.terminal import Terminal
from dmforge.schemas.visible import seen, seen_json

HOSTILE = "\x1b]0;owned\x07 \x1b[2J \x9b31m \u202ekcab \r over [red]x[/] [/none] :skull: \ud800"
OBEYED = ("\x1b", "\x07", "\x9b", "\u202e", "\r", "\ud800")


def test_what_a_terminal_obeys_is_shown_by_its_number() -> None:
    text = io.StringIO()
    shown = Terminal(file=text, force_terminal=True, color_system="truecolor", width=200)
    shown.print(HOSTILE, highlight=False)
    assert not any(letter in text.getvalue() for letter in OBEYED)
    assert "\\x1b]0;owned\\x07" in text.getvalue()
    assert "[red]x[/] [/none] :skull:" in text.getvalue()


def test_what_people_write_stays_as_it_is() -> None:
    text = "Wörter, 停, नमस्ते\u200d, 👩\u200d🔬, a\tb\u00a0c\nd"
    assert seen(text) == text
    assert seen("a\r\nb") == "a\nb"


def test_json_says_the_same_and_steers_nothing() -> None:
    told = {"a": HOSTILE, HOSTILE: ["Wörter", "\U000e0001"]}
    text = seen_json(told)
    assert json.loads(text) == told
    assert not any(letter in text for letter in (*OBEYED, "\U000e0001"))
    assert "Wörter" in text


@pytest.mark.parametrize("more", [[], ["--json"]])
def test_a_trajectory_cannot_steer_the_terminal_that_lints_it(more: list[str], tmp_path: Path) -> None:
    said = f"<think>a {HOSTILE}<span>1 - 2</span><fps>2</fps>x {HOSTILE}</think><answer>{HOSTILE}</answer>"
    turns = [{"from": "human", "value": f"<video>{HOSTILE}?"}, {"from": "gpt", "value": said}]
    (tmp_path / "rows.jsonl").write_text(json.dumps({"conversations": turns}) + "\n")
    done = CliRunner().invoke(cli.app, ["lint", str(tmp_path / "rows.jsonl"), *more])
    assert done.exit_code == 0, done.output
    assert not any(letter in done.output for letter in OBEYED)


def test_nor_can_the_name_of_a_file(tmp_path: Path) -> None:
    for name in ("\x1b[2J\u202e.mp4", "\udcff.mp4", "[/none].mp4"):
        done = CliRunner().invoke(cli.app, ["ingest", str(tmp_path / name), "-w", str(tmp_path)])
        assert done.exit_code == 2
        assert "mend:" in done.output
        assert not any(letter in done.output for letter in (*OBEYED, "\udcff"))
