"""A real language model, though a small one, behind llama.cpp's own server: stages that show nothing ask it through the command
line, and what it replies can be read."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

from dmforge.curation.lake.journal import CUT
from dmforge.generators.synthetic.oracle.oracle_process import serving as serving_oracle
from dmforge.generators.synthetic.worlds.imagine import LEVELS
from dmforge.generators.synthetic.worlds.world_folder import WorldSettings, make_worlds
from dmforge.schemas.replies import GuessReply, Reply, SafetyReply
from dmforge.schemas.reply_reader import read_reply
from tests.support import small_model
from tests.support.tables import show

pytestmark = pytest.mark.timeout(1800)
QUESTIONS = int(os.environ.get("DMFORGE_LLM_QUESTIONS", "40"))
"""Questions of each stage, by each form."""
FORMS = {"auto": "a schema", "json_object": "`json_object`", "prompt": "words alone"}
ASKS: dict[str, type[Reply]] = {"admit": GuessReply, "safety": SafetyReply}
RECIPE = """
name = "small-model"

[clips]
look_frames = 96
look_tokens = 12288
look_size = "floor"

[teacher]
model = "oracle"

[stages.ingest]

[stages.import]

[stages.segments]
fps = 6
longest_s = 15

[stages.questions]
per_video = 6

[stages.annotate]
"""
ASKING = """
[stages.{stage}]
model = "small"
profile = "llama.cpp"
base_url = "{url}"
structured_output = "{form}"
max_output_tokens = 96
retries = 0
timeout_s = 900
concurrency = {in_flight}
{settings}
"""
IN_FLIGHT = {"admit": 4 * QUESTIONS, "safety": 4}
"""`admit` shows frames behind a guess, which this model refuses for good: by then all guesses must have been sent."""
OUT_OF_BOUNDS = "input should be less than or equal to 1"
"""The one fault that is left under a schema: llama.cpp's grammars pass over the bounds of numbers that needn't be whole."""
PILOT = {"admit": (), "safety": ("--videos", QUESTIONS // 3)}
"""`safety` asks about every candidate, some four a video: more than are counted would only take time."""
SETTINGS = {"admit": "guesses = 1\nattempts = 1", "safety": ""}


@pytest.fixture(scope="module")
def url() -> Generator[str]:
    with small_model.serving() as address:
        yield address


@pytest.fixture(scope="module")
def drafted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace in which an oracle has written questions, and answered those that the worlds bring."""
    folder = tmp_path_factory.mktemp("drafted")
    make_worlds(folder / "worlds", WorldSettings(videos=QUESTIONS // 3 + 1, knobs=LEVELS[2]))
    (folder / "ws/inputs").mkdir(parents=True)
    (folder / "ws/recipe.toml").write_text(RECIPE)
    dmforge(folder / "ws", "ingest", folder / "worlds/videos")
    dmforge(folder / "ws", "import", "jsonl", folder / "worlds/tasks.jsonl")
    with serving_oracle(folder / "worlds") as oracle_url:
        done = dmforge(folder / "ws", "run", OPENAI_BASE_URL=oracle_url)
    assert done.returncode == 0, done.stderr
    return folder / "ws"


def dmforge(place: Path, *words: object, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "dmforge.cli", *map(str, words), "-w", str(place)]
    return subprocess.run(command, env={**os.environ, **environment}, capture_output=True, text=True, timeout=1500)


def replies(drafted: Path, folder: Path, url: str, stage: str, form: str) -> list[dict[str, Any]]:
    """The replies of the small model to one stage, as its journal keeps them."""
    place = folder / form
    shutil.copytree(drafted, place)
    settings = ASKING.format(stage=stage, url=url, form=form, in_flight=IN_FLIGHT[stage], settings=SETTINGS[stage])
    (place / "recipe.toml").write_text((place / "recipe.toml").read_text() + settings)
    done = dmforge(place, "run", "--until", stage, "--keep-going", "--json", *PILOT[stage])
    # 1: what isn't guessed is to be shown frames, which this model can't see; or no reply of a stage can be read
    assert done.returncode in (0, 1), done.stderr
    assert "Traceback" not in done.stderr
    lines = [json.loads(line) for path in place.glob("journal/small*/*.jsonl") for line in path.read_text().splitlines()]
    answers = {line["key"]: line["answer"] for line in lines}  # the last of a question was asked with the most tokens
    heard = [answer for answer in answers.values() if not answer.get("refusal")][:QUESTIONS]
    assert len(heard) == QUESTIONS, done.stderr
    return heard


@pytest.mark.parametrize("stage", ASKS)
def test_under_a_schema_every_reply_that_is_not_cut_off_can_be_read(
    stage: str, drafted: Path, url: str, tmp_path: Path
) -> None:
    """And by less than a schema some: how many, the table says."""
    shares: dict[str, float] = {}
    rows: list[tuple[str, int, int, int, str]] = []
    for form, words in FORMS.items():
        answers = replies(drafted, tmp_path, url, stage, form)
        faults = [(fault, answer) for answer in answers if isinstance(fault := read_reply(ASKS[stage], answer["content"]), str)]
        uncut_faults = [fault for fault, answer in faults if answer["finish"] != CUT]
        shares[form] = 1 - len(faults) / len(answers)
        commonest = max(uncut_faults, key=uncut_faults.count, default="")
        rows.append((words, len(answers), len(answers) - len(faults), len(faults) - len(uncut_faults), commonest))
        assert form != "auto" or all(fault.endswith(OUT_OF_BOUNDS) for fault in uncut_faults)
    columns = ("form asked for by", "replies", "read", "cut off", "commonest other fault")
    show(f"{stage}: {small_model.MODEL}", "make test-llm", columns, rows)
    assert shares["auto"] >= 0.8
    assert shares["auto"] == max(shares.values())
