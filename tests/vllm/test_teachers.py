"""Teachers behind vLLM's own server: stages ask it through the command line, with frames as images and as one video.

Its Qwen3-VL is random, so what it says means nothing; but under a schema it can say nothing else than a reply.
"""

from __future__ import annotations

import base64
import json
import os
import re
import shutil
import subprocess
import sys
from collections import defaultdict
from collections.abc import Generator
from fractions import Fraction
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import pytest
from transformers import AutoTokenizer
from vllm.multimodal.video import VIDEO_LOADER_REGISTRY

from dmforge.curation.video.jpeg import to_jpeg
from dmforge.generators.prompts import instruction
from dmforge.generators.student.tiny import make_tiny
from dmforge.generators.student.vocabulary import Vocabulary
from dmforge.generators.teacher.clip_messages import announced
from dmforge.generators.video_part import MEDIA, to_video
from dmforge.schemas.frames import plan_coarse, plan_look
from dmforge.schemas.looks import Look, Window
from dmforge.schemas.replies import REPLIES
from dmforge.schemas.reply_reader import read_reply
from dmforge.schemas.stamps import patch_times, stamp
from tests.support.films import SEEDS_FROM, write_film
from tests.support.tables import show
from tests.vllm.served import MODEL, Exchange, Served, vllm_server

pytestmark = pytest.mark.timeout(900)
LANE = "pytest -s tests/vllm/test_teachers.py"
ASKED_FOR = ("describe", "write", "look", "answer")
SHOT_FRAMES, SHOTS = 144, 3
SECONDS = SHOT_FRAMES * SHOTS // 12
RECIPE = """
name = "behind-vllm"

[clips]
coarse_fps = "5/2"          # 90 frames
coarse_tokens = 512
look_frames = 24
look_tokens = 512

[teacher]
profile = "vllm"
model = "{model}"
max_output_tokens = 1024
temperature = 1.0
concurrency = 4
timeout_s = 280
extra_body = {{ logit_bias = {{ "{quote}" = 4.0, "{brace}" = 4.0 }} }} # texts that end, lists that aren't empty

[stages.ingest]

[stages.import]
"""
WRITES = "[stages.segments]\nfps = 1\nlongest_s = 6\n\n[stages.questions]\nper_video = 4\n"
ANSWERS = "[stages.annotate]\ncandidates = 2\nattempts = 1\nwindow_source = 'teacher'\n"
TASKS = [
    {"video": "film.mp4", "kind": "open", "question": f"What is {thing}?", "answer": "a square", "windows": [[2.0, 9.0]]}
    for thing in ("red", "seen first", "moving")
]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("random") / "qwen3-vl"
    make_tiny("speck", [instruction(name) for name in ASKED_FOR], 0).save(folder)
    return folder


@pytest.fixture(scope="module")
def vocabulary(checkpoint: Path) -> Vocabulary:
    return Vocabulary(AutoTokenizer.from_pretrained(str(checkpoint)), str(checkpoint))


@pytest.fixture(scope="module")
def served(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Generator[Served]:
    with vllm_server(checkpoint, tmp_path_factory.mktemp("served")) as server:
        yield server


@pytest.fixture(scope="module")
def rendered(tmp_path_factory: pytest.TempPathFactory, vocabulary: Vocabulary) -> Path:
    """A workspace with one film of 36 s, and tasks about it."""
    folder = tmp_path_factory.mktemp("rendered")
    write_film(folder / "film.mp4", [(SEEDS_FROM + shot, 0, SHOT_FRAMES) for shot in range(SHOTS)], 96, 64)
    (folder / "tasks.jsonl").write_text("".join(json.dumps(task) + "\n" for task in TASKS))
    (folder / "ws/inputs").mkdir(parents=True)
    (folder / "ws/recipe.toml").write_text(RECIPE.format(model=MODEL, quote=vocabulary.id('"'), brace=vocabulary.id("{")))
    for words in (["ingest", folder / "film.mp4"], ["import", "jsonl", folder / "tasks.jsonl"], ["run"]):
        assert dmforge(folder / "ws", *words).returncode == 0
    return folder / "ws"


def dmforge(place: Path, *words: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "dmforge.cli", *map(str, words), "-w", str(place)]
    return subprocess.run(command, env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True, text=True, timeout=280)


def asking(rendered: Path, served: Served, folder: Path, stages: str, settings: str = "") -> list[Exchange]:
    """What a run asks the server, and what it answers."""
    place = folder / "ws"
    shutil.copytree(rendered, place)
    recipe = (place / "recipe.toml").read_text().replace("[stages.ingest]", f"{settings}\n[stages.ingest]")
    (place / "recipe.toml").write_text(recipe.replace('"vllm"', f'"vllm"\nbase_url = "{served.url}"') + stages)
    first = len(served.exchanges)
    done = dmforge(place, "run", "--keep-going")
    assert done.returncode in (0, 1), done.stderr  # 1: a stage of which no input was worth anything
    assert "Traceback" not in done.stderr
    exchanges = served.exchanges[first:]
    assert exchanges, done.stderr
    return exchanges


@pytest.fixture(scope="module")
def by_images(rendered: Path, served: Served, tmp_path_factory: pytest.TempPathFactory) -> list[Exchange]:
    return asking(rendered, served, tmp_path_factory.mktemp("images"), WRITES + ANSWERS)


@pytest.fixture(scope="module")
def by_video(rendered: Path, served: Served, tmp_path_factory: pytest.TempPathFactory) -> list[Exchange]:
    return asking(rendered, served, tmp_path_factory.mktemp("video"), ANSWERS, 'frames_as = "video"')


def kind(exchange: Exchange) -> str:
    return exchange.body["response_format"]["json_schema"]["name"]


def shown_ids(exchange: Exchange) -> list[int]:
    """The tokens that the model was shown."""
    return exchange.response["prompt_token_ids"]


def stamps_shown(exchange: Exchange, vocabulary: Vocabulary) -> list[str]:
    """The stamps between the instruction, whose examples have some too, and the question."""
    text = vocabulary.decode(shown_ids(exchange)).rpartition("<|im_start|>user")[2]
    return re.findall(r"<\d+\.\d seconds>", text)


def test_under_a_schema_nearly_all_replies_can_be_read(by_images: list[Exchange]) -> None:
    counts: defaultdict[str, list[int]] = defaultdict(lambda: [0, 0, 0])
    for exchange in by_images:
        (choice,) = exchange.response["choices"]
        reply = read_reply(REPLIES[kind(exchange)], choice["message"]["content"])
        is_cut = choice["finish_reason"] == "length"
        counts[kind(exchange)][0 if not isinstance(reply, str) else 1 if is_cut else 2] += 1
    show(
        "replies under a schema", LANE, ("reply", "read", "cut off", "not read"), [(name, *row) for name, row in counts.items()]
    )
    assert set(counts) == set(ASKED_FOR)
    for name, (read, _, unread) in counts.items():
        assert read, name
        assert unread == 0, name


def test_ninety_images_go_in_one_request(by_images: list[Exchange]) -> None:
    largest = max(by_images, key=lambda exchange: exchange.part_types.count("image_url"))
    assert largest.status == 200
    assert largest.part_types.count("image_url") == 90


def test_a_video_shows_the_same_frames_under_the_same_stamps_in_half_the_visual_tokens(
    by_images: list[Exchange], by_video: list[Exchange], vocabulary: Vocabulary
) -> None:
    looks, videos = ([one for one in exchanges if kind(one) == "look"] for exchanges in (by_images, by_video))
    (image_pads,) = {shown_ids(exchange).count(vocabulary.id("<|image_pad|>")) for exchange in looks}
    (video_pads,) = {shown_ids(exchange).count(vocabulary.video_pad) for exchange in videos}
    assert image_pads == 2 * video_pads > 0
    assert {tuple(exchange.part_types) for exchange in videos} == {("video_url", "text")}
    coarse = [stamp(time_s) for time_s in patch_times(plan_coarse(Fraction(SECONDS), Fraction(5, 2)).times_s)]
    assert len(coarse) == 45
    for exchange in [*looks, *videos]:
        assert stamps_shown(exchange, vocabulary) == coarse
    tokens = [max(one.response["usage"]["prompt_tokens"] for one in exchanges) for exchanges in (looks, videos)]
    rows = [("images", image_pads, tokens[0]), ("video", video_pads, tokens[1])]
    show("an overview of 90 frames of 96 x 64", LANE, ("frames as", "visual tokens", "tokens of the prompt"), rows)


def test_a_look_in_a_video_is_shown_at_the_times_that_a_student_sees(by_video: list[Exchange], vocabulary: Vocabulary) -> None:
    answers = [exchange for exchange in by_video if kind(exchange) == "answer"]
    assert answers
    for exchange in answers:
        ((start, end, fps),) = re.findall(r"You are shown ([\d.]+) - ([\d.]+) seconds at ([\d./]+) frames", exchange.texts[-1])
        look = Look(Window(round(float(start) * 100), round(float(end) * 100)), Fraction(fps))
        assert announced(look) in exchange.texts[-1]
        times_s = plan_look(look, Fraction(SECONDS), max_frames=24).times_s
        assert stamps_shown(exchange, vocabulary) == [stamp(time_s) for time_s in patch_times(times_s)]


@pytest.mark.parametrize("loader", ["qwen3_vl", "opencv", "opencv_dynamic"])
def test_loaders_that_do_not_know_the_form_refuse_it(loader: str) -> None:
    """So a server without the plug-in can't show other frames, or the same under other stamps."""
    jpegs = to_jpeg(np.random.default_rng(0).integers(0, 256, (90, 64, 96, 3), np.uint8))
    video = to_video(tuple(Fraction(at, 2) for at in range(90)), jpegs)
    with pytest.raises((ValueError, RuntimeError, OSError)):
        VIDEO_LOADER_REGISTRY.load(loader).load_bytes(video)


def test_bytes_that_are_no_clip_of_ours_are_refused_and_the_server_lives(served: Served) -> None:
    for garbage in (b"", b"x" * 100, b'{"ticks": [0, 0], "ticks_a_second": 1, "lengths": [1, 1]}\nxy'):
        url = MEDIA + base64.b64encode(garbage).decode()
        response = post(served, {"type": "video_url", "video_url": {"url": url}})
        assert response.status_code in (400, 422, 500)
    assert post(served, {"type": "text", "text": "Still there?"}).status_code == 200


def post(served: Served, part: dict[str, Any]) -> httpx2.Response:
    body = {"model": MODEL, "messages": [{"role": "system", "content": "Look."}, {"role": "user", "content": [part]}]}
    with httpx2.Client(trust_env=False, timeout=120) as client:
        return client.post(f"{served.url}/chat/completions", json={**body, "max_tokens": 4})
