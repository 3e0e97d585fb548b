"""docs/commands.md, written from the command line itself: every command with its options, and what it says on a small world.

`make docs` writes it, and runs what it shows. A test fails while options and words stand there otherwise than in the code; what
the commands said is as old as the last `make docs`.
"""

from __future__ import annotations

import argparse
import inspect
import os
import re
import signal
import subprocess
import sys
import tempfile
import types
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from typer.models import ArgumentInfo, OptionInfo

from dmforge import cli

PAGE = Path(__file__).parents[1] / "docs" / "commands.md"
MAX_LINES = 16
WORDS = {int: "N", float: "NUMBER", str: "TEXT", Path: "PATH"}
HEAD = """# Commands

Written by `make docs`, which also ran what is shown. What is in `<...>` must be said, the rest may be. Results go to stdout,
progress to stderr; with `--json` the result is one JSON document. Exit codes: 0 done, 1 failed or unfinished, 2 wrong usage or
input, 130 interrupted.
"""
TRAINING = """out = "sft"
[model]
from_config = "mote"
[data]
corpora = [{ place = "ws/shards/cot/current" }]
[training]
steps = 10
learning_rate = 2e-3
[saving]
device = "cpu"
"""
ADAPTING = TRAINING.replace('out = "sft"', 'out = "adapted"').replace(
    'from_config = "mote"', 'checkpoint = "./sft/checkpoint-10"\nadapters = { rank = 4 }'
)
EVALUATION = """checkpoint = "./sft/checkpoint-10"
corpora = ["exam/shards/exam/current"]
baseline_corpora = ["ws/shards/cot/current"]
device = "cpu"
[roll]
max_tokens = 160
"""


@dataclass(frozen=True, slots=True)
class Scene:
    """Lines that are typed, and under which command they are shown; or under none."""

    command: str
    lines: tuple[str, ...]
    env: Mapping[str, str] = field(default_factory=dict[str, str])


SCENES = (
    Scene("worlds", ("dmforge worlds worlds --videos 8 --study",)),
    Scene("oracle", ("dmforge oracle worlds &",)),
    Scene("probe", ("dmforge probe worlds/videos/*0.mp4",)),
    Scene("frames", ("dmforge frames $(ls worlds/videos/*.mp4 | head -1) --span 2 4 --fps 3",)),
    Scene("recipes", ("dmforge recipes",)),
    Scene("init", ("dmforge init ws --recipe study",)),
    Scene("ingest", ("dmforge ingest worlds/videos --source worlds --licence CC0-1.0 -w ws",)),
    Scene("import", ("dmforge import --list", "dmforge import jsonl worlds/tasks.jsonl -w ws")),
    Scene("inspect", ("dmforge inspect worlds/tasks.jsonl --videos worlds/videos",)),
    Scene("plan", ("dmforge plan -w ws",)),
    Scene("run", ("dmforge run -w ws",)),
    Scene("status", ("dmforge status -w ws",)),
    Scene("select", ("dmforge select cot --dry-run -w ws", "dmforge select cot --sweep length -w ws")),
    Scene("pack", ("dmforge pack cot -w ws",)),
    Scene("verify", ("dmforge verify ws/shards/cot/current",)),
    Scene("lint", ("dmforge lint ws/shards/cot/current",)),
    Scene("export", ("dmforge export cot --to llamafactory -w ws",)),
    Scene("audit", ("dmforge audit", "dmforge audit funnel -w ws")),
    Scene("views", ("dmforge views --duckdb lake.duckdb -w ws",)),
    Scene("report", ("dmforge report report.html -w ws",)),
    Scene("why", ("dmforge why $(dmforge audit --sql 'SELECT id FROM samples' --format csv -w ws | tail -1) --check -w ws",)),
    Scene("digest", ("dmforge digest -w ws",)),
    Scene("upgrade", ("dmforge upgrade --dry-run -w ws",)),
    Scene("", (f"cat > sft.toml <<END\n{TRAINING}END",)),
    Scene("train", ("dmforge train sft sft.toml",)),
    Scene("", (f"cat > adapted.toml <<END\n{ADAPTING}END", "dmforge train sft adapted.toml")),
    Scene("merge-adapters", ("dmforge merge-adapters adapted/checkpoint-10 whole",)),
    Scene(
        "",
        (
            "dmforge worlds unseen --videos 4 --study --seed 2", "dmforge init exam --recipe exam",
            "dmforge ingest unseen/videos -w exam", "dmforge import jsonl unseen/tasks.jsonl -w exam", "dmforge run -w exam",
            f"cat > evaluate.toml <<END\n{EVALUATION}END",
        ),
    ),
    Scene("evaluate", ("dmforge evaluate evaluate.toml",)),
    Scene(
        "",
        (
            "dmforge init other --recipe study", "dmforge ingest unseen/videos --source worlds --licence CC0-1.0 -w other",
            "dmforge import jsonl unseen/tasks.jsonl -w other",
        ),
    ),
    Scene("merge", ("dmforge merge other -w ws",)),
    Scene("forget", ("dmforge forget --source worlds --reason 'the owner asked' -w ws",)),
    Scene("demo", ("dmforge demo --size chain --videos 2",)),
    Scene("review", ("dmforge review cot --sample 2 --as anna -w demo/workspace &",)),
    Scene("browse", ("dmforge browse -w demo/workspace &",)),
)  # fmt: skip


def page(sessions: Mapping[str, str]) -> str:
    """The whole page, with what each command said."""
    parts = [HEAD]
    for info in sorted(cli.commands.registered_commands, key=lambda info: _name(info.name, info.callback)):
        assert info.callback is not None
        name = _name(info.name, info.callback)
        parts.append(f"## {name}\n\n{inspect.getdoc(info.callback)}\n")
        parts += _options(name, info.callback)
        parts.append(f"\n```console\n{sessions.get(name, '')}```\n")
    return "\n".join(parts)


def without_transcripts(text: str) -> str:
    """A page without what commands said, which differs from machine to machine."""
    return re.sub(r"```console\n.*?```", "```console\n```", text, flags=re.DOTALL)


def shown(text: str) -> dict[str, str]:
    """What each command said, by a page."""
    return dict(re.findall(r"^## (\S+)\n.*?```console\n(.*?)```", text, re.DOTALL | re.MULTILINE))


def _name(name: str | None, callback: Callable[..., Any] | None) -> str:
    return name or getattr(callback, "__name__", "").replace("_", "-")


def _options(command: str, callback: Callable[..., Any]) -> Iterator[str]:
    """How it is called, and a table of what it may be told."""
    hints = get_type_hints(callback, include_extras=True)
    usage, needed, rows = [f"dmforge {command}"], list[str](), list[str]()
    for name, parameter in inspect.signature(callback).parameters.items():
        kind, *marks = get_args(hints[name])
        info = next(mark for mark in marks if isinstance(mark, (ArgumentInfo, OptionInfo)))
        if info.hidden:
            continue
        value = info.metavar or _word(kind)
        must = parameter.default is inspect.Parameter.empty
        if isinstance(info, ArgumentInfo):
            word = value if info.metavar else name.upper()
            usage.append(f"<{word}>" if must else f"[{word}]")
        else:
            word = " ".join(filter(None, (", ".join(f"`{flag}`" for flag in _option_names(name, info)), value)))
            needed += [f"<{_option_names(name, info)[0]} {value}>"] if must else []
        default = "" if must or parameter.default in (None, False, "") else f"`{parameter.default}`"
        rows.append(f"| {word.replace('|', ' or ')} | {'must be said' if must else default} | {info.help} |")
    yield f"    {' '.join([*usage, *needed])}\n"
    yield "| | default | |\n|---|---|---|"
    yield from rows


def _option_names(name: str, info: OptionInfo) -> list[str]:
    """The names of an option; Typer keeps the first of those that are declared where a default would stand."""
    declared = [flag for flag in (info.default, *(info.param_decls or ())) if isinstance(flag, str) and flag.startswith("-")]
    return declared or [f"--{name.replace('_', '-')}"]


def _word(kind: Any) -> str:
    """What stands for a value; nothing for what is only said or not."""
    if get_origin(kind) is Annotated:
        return _word(get_args(kind)[0])
    if get_origin(kind) is Literal:
        return " or ".join(f"`{choice}`" for choice in get_args(kind))
    if get_origin(kind) in (Union, types.UnionType, list):
        return _word(next(member for member in get_args(kind) if member is not types.NoneType))
    return WORDS.get(kind, "")


def transcripts() -> dict[str, str]:
    """What each command says in a new folder, run as it is shown."""
    sessions: dict[str, str] = {}
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place).resolve()
        env = {**os.environ, "COLUMNS": "120", "OMP_NUM_THREADS": "1"}
        env["PATH"] = f"{Path(sys.executable).parent}:{env['PATH']}"
        serving: list[subprocess.Popen[str]] = []
        try:
            for scene in SCENES:
                for line in scene.lines:
                    print(f"$ {line.splitlines()[0]}", file=sys.stderr, flush=True)
                    if line.endswith("&"):
                        server = _begin(line, folder, env)
                        serving.append(server)
                        assert server.stdout is not None
                        output = server.stdout.readline()
                        if not output:
                            sys.exit(f"{line} said nothing")
                        if scene.command == "oracle":
                            env["OPENAI_BASE_URL"] = output.strip()
                    else:
                        output = _output(line, folder, env)
                    if scene.command:
                        sessions[scene.command] = sessions.get(scene.command, "") + f"$ {line}\n{_cut(output, folder)}"
        finally:
            for server in serving:
                os.killpg(server.pid, signal.SIGKILL)
                server.wait()
    return sessions


def _begin(line: str, folder: Path, env: Mapping[str, str]) -> subprocess.Popen[str]:
    """A server, in a session of its own, so that it can be ended with all that it starts."""
    command = ["bash", "-c", f"exec {line.removesuffix('&')}"]
    return subprocess.Popen(
        command, cwd=folder, env=env, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, start_new_session=True
    )


def _output(line: str, folder: Path, env: Mapping[str, str]) -> str:
    done = subprocess.run(["bash", "-c", line], cwd=folder, env=env, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{line}\n{done.stderr}")
    return done.stdout


def _cut(text: str, folder: Path) -> str:
    """The first lines, with places as seen from the folder, and no token of a review."""
    lines = [re.sub(r"token=[\w-]+", "token=...", line.replace(f"{folder}/", "")).rstrip() for line in text.splitlines()]
    rest = len(lines) - MAX_LINES
    kept = lines if rest <= 1 else [*lines[:MAX_LINES], f"... and {rest} more lines"]
    return "".join(f"{line}\n" for line in kept)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--keep", action="store_true", help="run nothing: what commands said stays as it is")
    keep = parser.parse_args().keep
    PAGE.write_text(page(shown(PAGE.read_text("utf-8")) if keep else transcripts()), "utf-8")
    print(PAGE)
