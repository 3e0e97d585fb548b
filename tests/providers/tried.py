"""A run through the command line on real clips, against a provider with one habit: what it made, said and paid."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from typer.testing import CliRunner

from dmforge import cli
from dmforge.curation.lake.commits import Lake
from dmforge.curation.lake.views import LakeView
from dmforge.curation.workspace_folder import WorkspaceFolder
from dmforge.recipe import read_recipe
from tests.support.provider import Provider, serving

KEY = "sk-canary-0123456789abcdef"
CLIPS = (
    "mdn__learning-area__pig.webm",
    "mdn__learning-area__rabbit320.mp4",
    "open-mmlab__mmaction2__S001C001P001R001A001_rgb.avi",
)
INPUT_USD, OUTPUT_USD = 1.0, 4.0
RENDERED = """
name = "habits"

[clips]
coarse_tokens = 256
look_frames = 16
look_tokens = 256
look_size = "floor"

[prices.teacher]
input_usd = 1.0
output_usd = 4.0

[stages.ingest]

[stages.import]
"""
PATIENCE = """
model = "teacher"
concurrency = 4
retries = 1
timeout_s = 4
wait_timeout_s = 10
"""
LIMIT = "max_output_tokens = 8192\n"
TEMPERATURE = "temperature = 0.7\n"
DESCRIBES = "[stages.segments]\nfps = 2\nlongest_s = 1.5\n"
WRITES = """[stages.questions]
per_video = 3
[stages.questions.types]
count = 1
cause = 1
object = 1
[stages.questions.forms]
open = 1
mcq = 1
"""
ANSWERS = "[stages.annotate]\n"
TASKS = [
    {"video": CLIPS[0], "kind": "open", "question": "What stands in the grass?", "answer": "a pig", "windows": [[0.0, 3.0]]},
    {"video": CLIPS[1], "kind": "open", "question": "How often does the rabbit jump?", "answer": "2", "windows": [[1.0, 5.0]]},
    {
        "video": CLIPS[2], "kind": "grounded_mcq", "question": "What does the person pick up?",
        "options": ["a cup", "a book", "a phone"], "answer": "a cup", "windows": [[0.5, 2.5]],
    },
]  # fmt: skip


TABLES = {
    "annotate": {"candidates": "SELECT task, transcript FROM candidates ORDER BY ALL"},
    "questions": {
        "storylines": "SELECT video, events FROM storylines ORDER BY ALL",
        "drafts": "SELECT video, number, question, answer FROM drafts ORDER BY ALL",
    },
}
"""What is made, by what is asked."""


@dataclass(frozen=True)
class Case:
    """A habit, and the recipe that it is tried with."""

    habit: str
    asks: str = "questions"
    """`questions`: clips are described and asked about; `annotate`: tasks are answered."""
    teacher: str = ""
    """A `[teacher]` table, instead of what each stage says."""
    settings: str = LIMIT + TEMPERATURE
    """Of each stage."""

    def recipe(self) -> str:
        stages = [ANSWERS] if self.asks == "annotate" else [DESCRIBES, WRITES]
        if self.teacher:
            return f"{RENDERED}{''.join(stages)}\n[teacher]{PATIENCE}{self.teacher}"
        return RENDERED + "".join(_with(stage, PATIENCE.strip() + "\n" + self.settings) for stage in stages)


def _with(stage: str, settings: str) -> str:
    head, _, rest = stage.partition("\n")
    return f"{head}\n{settings}{rest}"


@dataclass
class Outcome:
    """What became of a run."""

    case: Case
    place: Path
    code: int
    stdout: str
    stderr: str
    provider: Provider

    @cached_property
    def journal(self) -> list[dict[str, Any]]:
        paths = sorted(self.place.glob("journal/*/*.jsonl"))
        return [json.loads(line) for path in paths for line in path.read_text().splitlines()]

    @cached_property
    def result(self) -> dict[str, Any]:
        """What `run --json` printed; empty where it printed nothing."""
        return json.loads(self.stdout) if self.stdout.strip() else {}

    @property
    def cost_usd(self) -> float:
        """What the run says that it spent, or its record where it failed."""
        records = [json.loads(path.read_text()) for path in self.place.glob("runs/*.json")]
        spent = max(records, key=lambda record: record["started"]).get("spent") or []
        return sum(entry["usd"] for entry in spent)

    @property
    def charged_usd(self) -> float:
        """What the provider charged."""
        sent, written = self.provider.charged
        return (sent * INPUT_USD + written * OUTPUT_USD) / 1e6

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        stages = read_recipe(self.place / "recipe.toml").stages
        return LakeView(Lake(WorkspaceFolder(self.place)), stages).connection.execute(sql).fetchall()

    @cached_property
    def made(self) -> dict[str, list[tuple[Any, ...]]]:
        """The rows that were made, by table, in an order of their own."""
        return {table: self.rows(sql) for table, sql in TABLES[self.case.asks].items()}

    @property
    def counts(self) -> dict[str, int]:
        return {table: len(rows) for table, rows in self.made.items()}

    @property
    def rejected(self) -> str:
        """Why inputs were rejected, in whole sentences."""
        return str(self.rows("SELECT reason, detail FROM outcomes WHERE status = 'rejected' ORDER BY ALL"))

    def everything(self) -> bytes:
        """Each byte that the run printed or wrote as text."""
        paths = [path for path in self.place.rglob("*") if path.suffix in (".json", ".jsonl", ".toml", ".log", ".parquet")]
        return b"\n".join([self.stdout.encode(), self.stderr.encode(), *(path.read_bytes() for path in paths)])


def prepare(folder: Path, videos: Path) -> None:
    """A workspace in which the clips are rendered and the tasks imported."""
    place = folder / "ws"
    (place / "inputs").mkdir(parents=True)
    (place / "recipe.toml").write_text(RENDERED)
    (folder / "tasks.jsonl").write_text("".join(json.dumps(task) + "\n" for task in TASKS))
    invoke("ingest", *(videos / name for name in CLIPS), "-w", place)
    invoke("import", "jsonl", folder / "tasks.jsonl", "-w", place)
    invoke("run", "-w", place)


def invoke(*words: object) -> str:
    done = CliRunner().invoke(cli.app, [str(word) for word in words])
    assert done.exit_code == 0, done.output
    return done.stdout


def audit(place: Path, query: str) -> list[dict[str, Any]]:
    table = json.loads(invoke("audit", query, "-w", place, "--json"))
    return [dict(zip(table["columns"], row, strict=True)) for row in table["rows"]]


def run(place: Path, url: str, *options: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "OPENAI_BASE_URL": url, "OPENAI_API_KEY": KEY, "OMP_NUM_THREADS": "1", "NO_COLOR": "1"}
    return subprocess.run(
        [sys.executable, "-m", "dmforge.cli", "run", "-w", str(place), "--json", *options],
        env={**environment, "COLUMNS": "4000"}, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip


def trying(template: Path, folder: Path) -> Callable[[Case], Outcome]:
    """What tries a case in a copy of the template."""

    def attempt(case: Case) -> Outcome:
        place = folder / "ws"
        shutil.copytree(template / "ws", place)
        (place / "recipe.toml").write_text(case.recipe())
        with serving(case.habit) as (url, provider):
            done = run(place, url)
        return Outcome(case, place, done.returncode, done.stdout, done.stderr, provider)

    return attempt
