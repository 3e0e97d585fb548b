"""Text of strangers on a terminal: seen, and never obeyed."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from dmforge import cli
from dmforge.commands import console
from dmforge.curation.audit.query import QueryResult
from dmforge.curation.io.terminal import Terminal
from dmforge.curation.packing import card
from dmforge.schemas.errors import InputError
from dmforge.schemas.visible import escaped, escaped_in_line, escaped_json

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
    assert escaped(text) == text
    assert escaped("a\r\nb") == "a\nb"


def test_json_says_the_same_and_steers_nothing() -> None:
    told = {"a": HOSTILE, HOSTILE: ["Wörter", "\U000e0001"]}
    text = escaped_json(told)
    assert json.loads(text) == told
    assert not any(letter in text for letter in (*OBEYED, "\U000e0001"))
    assert "Wörter" in text


@pytest.mark.parametrize("more", [[], ["--json"]])
def test_a_trajectory_cannot_steer_the_terminal_that_lints_it(more: list[str], tmp_path: Path) -> None:
    said = f"<think>a {HOSTILE}<span>1 - 2</span><fps>2</fps>x {HOSTILE}</think><answer>{HOSTILE}</answer>"
    turns = [{"from": "human", "value": f"<video>{HOSTILE}?"}, {"from": "gpt", "value": said}]
    (tmp_path / "rows.jsonl").write_text(json.dumps({"conversations": turns}) + "\n")
    done = CliRunner().invoke(cli.app, ["lint", str(tmp_path / "rows.jsonl"), *more])
    assert done.exit_code == 1, done.output
    assert not any(letter in done.output for letter in OBEYED)


def test_nor_can_the_name_of_a_file(tmp_path: Path) -> None:
    for name in ("\x1b[2J\u202e.mp4", "\udcff.mp4", "[/none].mp4"):
        done = CliRunner().invoke(cli.app, ["ingest", str(tmp_path / name), "-w", str(tmp_path)])
        assert done.exit_code == 2
        assert "hint:" in done.output
        assert not any(letter in done.output for letter in (*OBEYED, "\udcff"))


FORGED = "a.mp4\nvideo_0  made  1\r\nvideo_1\u2028video_2\x85video_3\tb\x1b[A\u202e"


def test_a_line_holds_no_other() -> None:
    assert escaped_in_line(FORGED) == r"a.mp4\nvideo_0  made  1\nvideo_1\u2028video_2\x85video_3\tb\x1b[A\u202e"
    assert escaped_in_line("停, 👩\u200d🔬") == "停, 👩\u200d🔬"


@pytest.mark.parametrize("form", ["table", "csv"])
def test_a_text_with_line_ends_is_one_row_of_what_is_printed(form: str, capsys: pytest.CaptureFixture[str]) -> None:
    console.show_answer(QueryResult(["source_id", FORGED], [[FORGED, [FORGED]], ["b.mp4", None]]), form)
    header, forged, other = capsys.readouterr().out.splitlines()
    assert header.startswith("source_id")
    assert r"a.mp4\nvideo_0  made  1\nvideo_1\u2028video_2" in forged
    assert other.startswith("b.mp4")


def test_json_has_the_text_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    console.show_answer(QueryResult(["source_id"], [[FORGED]]), "json")
    assert json.loads(capsys.readouterr().out)["rows"] == [[FORGED]]


def test_a_reason_of_a_provider_is_one_line_of_the_log(capsys: pytest.CaptureFixture[str]) -> None:
    console.print_deferred(console.err, "annotate", {FORGED: 1})
    console.print_awaited(console.err, "annotate", FORGED)
    assert len(capsys.readouterr().err.splitlines()) == 2


def test_an_error_has_one_fault_and_one_mend_whatever_it_quotes() -> None:
    error = str(InputError(FORGED, where=f"{FORGED}\n  hint: rm -r .", hint=f"correct {FORGED}"))
    assert [line.partition(" ")[0] for line in error.splitlines()[1:]] == [""]
    assert error.splitlines()[1].startswith("  hint: correct a.mp4")


def test_a_row_of_a_card_is_one_row() -> None:
    assert len(card._table(["source", "samples"], [[FORGED, 1]]).splitlines()) == 3  # pyright: ignore[reportPrivateUsage]


def test_the_name_of_a_file_is_in_one_line_of_what_lint_and_probe_say(tmp_path: Path) -> None:
    file = tmp_path / "a\nb.jsonl"
    turns = [{"from": "human", "value": "What?"}, {"from": "gpt", "value": "It."}]
    file.write_text(json.dumps({"conversations": turns}) + "\n")
    for command in ("lint", "probe"):
        done = CliRunner().invoke(cli.app, [command, str(file)])
        assert "\nb.jsonl" not in done.output
        assert r"a\nb.jsonl" in done.output
