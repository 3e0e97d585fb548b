"""The page of --help says all that a command takes, in frames that no terminal breaks, and costs a start next to nothing."""

from __future__ import annotations

import json
import re
import subprocess
import sys

import pytest
import typer
from typer.testing import CliRunner

from dmforge import cli
from dmforge.commands.command_group import command_name
from dmforge.commands.help_page import first_paragraph

COMMANDS = {command_name(info): info for info in cli.commands.registered_commands}


def page_of(columns: int, *words: str, **env: str) -> str:
    done = CliRunner().invoke(cli.app, [*words, "--help"], env={"COLUMNS": str(columns), **env}, color=bool(env))
    assert done.exit_code == 0, done.output
    return done.output


def words_in(page: str) -> str:
    """The words of a page, without its frames."""
    return " ".join(re.sub(r"[│╭╮╰╯─]", " ", page).split())


@pytest.mark.parametrize("columns", [40, 80, 200])
def test_the_page_of_all_commands_says_what_each_does(columns: int) -> None:
    page = page_of(columns)
    assert all(len(line) == columns for line in page.splitlines() if line[:1] in "│╭╰" and line)
    names = re.findall(r"^│ ([a-z-]+)  ", page.partition("Commands")[2], re.MULTILINE)
    assert names == list(COMMANDS)
    if columns == 200:
        for name, info in COMMANDS.items():
            assert re.search(rf"│ {name} +{re.escape(first_paragraph(info.callback and info.callback.__doc__))} *│", page), name


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_the_page_of_a_command_has_every_option_and_argument(name: str) -> None:
    group = typer.main.get_command(cli.app)
    command = group.get_command(None, name)  # type: ignore[attr-defined]
    context = command.make_context(name, [], resilient_parsing=True)
    wide, narrow = words_in(page_of(300, name)), page_of(60, name)
    assert first_paragraph(command.help) in wide
    for parameter in command.get_params(context):
        if parameter.hidden:
            assert parameter.opts[0] not in wide.split()
            continue
        names, explanation = parameter.get_help_record(context)
        assert f"{names} {explanation}".replace("  ", " ") in wide
    assert max(map(len, narrow.splitlines())) <= 60


def test_colours_are_for_terminals_that_want_them() -> None:
    assert "\x1b[" not in page_of(80, "run")
    coloured = page_of(80, "run", TERM="xterm")
    assert "\x1b[1;36m" in coloured
    assert re.sub(r"\x1b\[[\d;]*m", "", coloured) == page_of(80, "run")
    assert "\x1b[" not in page_of(80, "run", NO_COLOR="1")


def test_a_name_that_is_no_command_is_answered_by_the_nearest() -> None:
    done = CliRunner().invoke(cli.app, ["merge-adapter"])
    assert done.exit_code == 2
    assert "merge-adapters" in done.stderr


def test_help_needs_neither_rich_nor_pydantic() -> None:
    code = "import sys, json; sys.argv = ['dmforge', '--help']\nfrom dmforge import cli\n"
    code += "try:\n    cli.main()\nexcept SystemExit:\n    pass\nprint(json.dumps(sorted(sys.modules)), file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = json.loads(done.stderr.splitlines()[-1])
    assert not {name.partition(".")[0] for name in loaded} & {"rich", "pydantic", "asyncio", "ctypes", "markdown_it"}
    ours = [name for name in loaded if name.startswith("dmforge.")]
    assert len(ours) <= 20, ours
