"""Ten thousand answers that an earlier reader couldn't read: a new one reads them from the journal, and asks nobody."""

from __future__ import annotations

import asyncio
import json
import shutil
from hashlib import sha256
from pathlib import Path
from typing import Any, TypeVar

import pytest
from typer.testing import CliRunner

from dmforge import cli
from dmforge.commands import journal_probe
from dmforge.curation.lake.commits import Lake
from dmforge.curation.lake.journal import Answer, Journal
from dmforge.curation.lake.views import LakeView
from dmforge.curation.workspace_folder import WorkspaceFolder
from dmforge.filters.safety import SafetyConfig, text_to_judge
from dmforge.generators.teacher import ask_stage, interview
from dmforge.generators.teacher.question_keys import TeacherQuestion, question_key
from dmforge.generators.teacher.teacher_config import URL
from dmforge.recipe import read_recipe
from dmforge.schemas.ids import Id
from dmforge.schemas.records import Candidate, CandidateWithTask, Task
from dmforge.schemas.replies import Reply, SafetyReply
from tests.support.films import SEEDS_FROM, write_film

MODEL, REPLIES, FILMS = "m", 10_000, 4
NOWHERE = "http://127.0.0.1:9/v1"
RECIPE = f"""
name = "test"
[prices.{MODEL}]
input_usd = 1.0
output_usd = 1.0
[stages.ingest]
[stages.import]
[stages.rules]
[stages.safety]
model = "{MODEL}"
retries = 0
batch_items = 100
[stages.select_cot]
min_score = {{ safe = 0.5 }}
"""
TRAJECTORY = "<think>It begins.<span>1.00 - 2.00</span><fps>2</fps><video>Take {}.</think><answer>red</answer>"
R = TypeVar("R", bound=Reply)


def dmforge(*words: object, code: int = 0) -> Any:
    done = CliRunner().invoke(cli.app, [str(word) for word in words])
    assert done.exit_code == code, done.output
    return json.loads(done.stdout) if "--json" in words else done.stderr


def earlier_reader(reply_class: type[R], text: str) -> R | str:
    """A reader that takes a text for one JSON object, or for nothing."""
    try:
        return reply_class.model_validate(json.loads(text))
    except ValueError:
        return "it is no JSON"


def content(number: int) -> str:
    """A reply as models write it, which is no JSON as a whole."""
    reply = json.dumps({"quote": "" if number % 3 else "Take", "safety": 1.0 if number % 3 else number % 2})
    shapes = (
        f'<think>Either {{"safety": 0, "quote": "{number}"}} or {{not}}.</think>\n{reply}',
        f"Here it is:\n```json\n{reply}\n```\nAsk {{me}} anything else.",
        f"{reply}\n{reply}",
        f"I think {{so}}. {reply}",
        f"[THINK]{{{number}[/THINK]{reply}",
    )
    return shapes[number % len(shapes)]


@pytest.fixture(scope="module")
def imported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with ten thousand candidates about a few short films."""
    folder = tmp_path_factory.mktemp("reader")
    (folder / "films").mkdir()
    for film in range(FILMS):
        write_film(folder / f"films/{film}.mp4", [(SEEDS_FROM + film, 0, 60)])
    place = folder / "ws"
    (place / "inputs").mkdir(parents=True)
    (place / "recipe.toml").write_text(RECIPE)
    records = [
        {
            "index": number,
            "video": [f"{number % FILMS}.mp4"],
            "conversations": [
                {"from": "human", "value": f"<video>Which colour is number {number}?"},
                {"from": "gpt", "value": TRAJECTORY.format(number)},
            ],
        }
        for number in range(REPLIES)
    ]
    (folder / "dynframe.json").write_text(json.dumps(records))
    dmforge("import", "dynframe", folder / "dynframe.json", "--videos", folder / "films", "-w", place)
    dmforge("run", "--until", "rules", "-w", place)
    return place


def write_journal(place: Path) -> None:
    """One answer for each candidate."""
    workspace = WorkspaceFolder(place)
    stages = read_recipe(workspace.recipe).stages
    config = next(stage.config for stage in stages if isinstance(stage.config, SafetyConfig))
    view = LakeView(Lake(workspace), stages)
    tasks = {task.id: task for task in view.all_rows(Task)}
    items = [CandidateWithTask(candidate, tasks[candidate.task], None) for candidate in view.all_rows(Candidate)]
    assert len(items) == REPLIES

    async def written() -> None:
        journal = Journal(workspace, MODEL)
        await asyncio.gather(*(record(journal, *question_of(item)) for item in items))
        journal.close()

    def question_of(item: CandidateWithTask) -> tuple[Id, Id]:
        video = item.candidate.video
        text = text_to_judge(item)
        question = TeacherQuestion(SafetyReply, video, text, 0, [video], [text], no_parts, 0, 0)
        return question_key(config, question), video

    async def record(journal: Journal, key: Id, video: Id) -> None:
        usage = {"prompt_tokens": 10, "completion_tokens": 5}
        text = content(int.from_bytes(key[:4]))

        async def answer() -> Answer:
            return {"content": text, "refusal": None, "finish": "stop", "usage": usage, "limit": config.max_output_tokens}

        await journal.answer(key, video, answer, config.max_output_tokens)

    asyncio.run(written())


async def no_parts() -> list[dict[str, Any]]:
    return []


def current_parts(place: Path) -> dict[tuple[str, str, str], str]:
    """The sha256 of every part that counts now, by stage, table and name."""
    lake = Lake(WorkspaceFolder(place))
    stages = read_recipe(place / "recipe.toml").stages
    view = LakeView(lake, stages)
    return {
        (stage.name, part.table, part.name): sha256(part.path(lake.workspace.lake).read_bytes()).hexdigest()
        for stage in stages
        for commit in lake.of(stage.name, view.variant(stage))
        for part in commit.parts
    }


def stage_row(document: Any, name: str) -> Any:
    return next(stage for stage in document["stages"] if stage["name"] == name)


@pytest.mark.slow
def test_a_new_reader_settles_an_old_journal_byte_for_byte_as_a_new_workspace(
    imported: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(URL, NOWHERE)
    monkeypatch.setattr(journal_probe, "PROBE_S", 600.0)
    older, fresh = shutil.copytree(imported, tmp_path / "older"), tmp_path / "fresh"
    write_journal(older)
    with monkeypatch.context() as earlier:
        earlier.setattr(interview, "read_reply", earlier_reader)
        earlier.setattr(ask_stage, "READER_VERSION", 1)
        settled = dmforge("run", "-w", older, "--json", code=1)
    assert stage_row(settled, "safety")["rejected"] == REPLIES
    assert stage_row(settled, "select_cot")["made"] == 0
    planned = dmforge("plan", "-w", older, "--json")
    assert stage_row(planned, "safety")["read_anew"] == REPLIES
    assert planned["cost"] == 0
    for name in ("inputs", "journal", "recipe.toml"):
        copy = shutil.copytree if (older / name).is_dir() else shutil.copy
        fresh.mkdir(exist_ok=True)
        copy(older / name, fresh / name)
    journal = {path: path.read_bytes() for path in (older / "journal").rglob("*.jsonl")}
    for place in (older, fresh):
        made = dmforge("run", "-w", place, "--json")
        assert stage_row(made, "safety")["made"] == REPLIES
        assert 0 < stage_row(made, "select_cot")["made"] < REPLIES
        assert made["spent"]["calls"] == 0
    assert dmforge("digest", "-w", older, "--json") == dmforge("digest", "-w", fresh, "--json")
    assert {stage for stage, _, _ in current_parts(fresh)} == {"ingest", "import", "rules", "safety", "select_cot"}
    assert current_parts(older) == current_parts(fresh)
    assert {path: path.read_bytes() for path in (older / "journal").rglob("*.jsonl")} == journal
