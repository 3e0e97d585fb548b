"""The scripts for plain transformers and plain vLLM show a student the context that it has learnt, with the real processor."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch

from dmforge.curation.shards.corpus import Corpus
from dmforge.generators.footage import Footage, ShownClip, show
from dmforge.generators.inference.engines.engine import Sampling
from dmforge.generators.inference.engines.transformers_engine import TransformersEngine
from dmforge.generators.inference.rollout import RolloutLimits, roll
from dmforge.generators.inference.sample_request import sample_request
from dmforge.generators.rendition_footage import footage_of
from dmforge.generators.student.load_student import load
from dmforge.generators.student.patchify import normalised
from dmforge.schemas.frames import plan_coarse, plan_look
from dmforge.schemas.grammar import written_look
from dmforge.schemas.looks import Look, Window
from dmforge.schemas.sizes import plan_size
from dmforge.schemas.transcript import COARSE, Piece
from tests.rl.conftest import imitating
from tests.support import flicker
from tests.support.barcodes import Case, write
from tests.support.taught import QUESTION, Tinted, taught_folder

EXAMPLES = Path(__file__).parents[2] / "examples"
sys.path.insert(0, str(EXAMPLES))

import look_with_transformers as plain  # noqa: E402

EXAMPLES_THOUGHT_ABOUT = 6
VIDEOS = [Tinted("red", "blue"), Tinted("blue", "red", Fraction(3537, 100), 40), Tinted("red", "red", Fraction(5), 7)]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return taught_folder(tmp_path_factory.mktemp("plain") / "checkpoint-1")


def clip_of(shown: ShownClip) -> plain.Clip:
    return shown.frames, [float(time_s) for time_s in shown.times_s]


def looking(video: Footage) -> Callable[[float, float, float], plain.Clip]:
    def look(start_s: float, end_s: float, fps: float) -> plain.Clip:
        window = Window(round(start_s * 100), round(end_s * 100))
        return clip_of(video.look(Look(window, Fraction(str(fps)))))

    return look


@pytest.mark.parametrize("video", VIDEOS, ids=range(len(VIDEOS)))
@pytest.mark.parametrize(("window", "fps"), [(Window(213, 447), 3), (Window(0, 250), 2), (Window(100, 500), Fraction(1, 2))])
def test_the_processor_writes_the_context_that_was_learnt(
    checkpoint: Path, video: Tinted, window: Window, fps: Fraction
) -> None:
    student, watcher, look = load(str(checkpoint)), plain.Watcher(str(checkpoint)), Look(window, Fraction(fps))
    thought = f"<think>Early.{written_look(look)}"
    pieces = (COARSE, QUESTION, Piece("policy", thought), Piece("runtime", look=look))
    learnt = student.layout.join(student.layout.stretches(show(pieces, video)))
    prompt = watcher.processor.tokenizer.apply_chat_template(
        plain.asked(QUESTION.text or ""), tokenize=False, add_generation_prompt=True
    )
    before = watcher.context(prompt, [clip_of(video.coarse())])
    written = torch.tensor([student.vocabulary.encode(thought)])
    shown = plain.joined(before, written, watcher.context("<|video_pad|>", [clip_of(video.look(look))]))
    assert shown["input_ids"][0].tolist() == learnt.ids.tolist()
    assert shown["video_grid_thw"].tolist() == learnt.grids.tolist()
    assert torch.equal(shown["pixel_values_videos"], normalised(torch.from_numpy(learnt.patches)))
    positions, _ = watcher.model.model.get_rope_index(
        shown["input_ids"], shown["mm_token_type_ids"], video_grid_thw=shown["video_grid_thw"],
        attention_mask=shown["attention_mask"],
    )  # fmt: skip
    assert positions[-3:, 0].tolist() == learnt.positions.tolist()


def test_both_scripts_think_what_our_engine_thinks(tmp_path: Path) -> None:
    place = flicker.cot(tmp_path / "cot", 24, 2, flicker.BIASED)
    checkpoint, corpus = imitating(place, tmp_path / "checkpoint-1"), Corpus(str(place))
    engine, watcher = TransformersEngine(load(str(checkpoint))), plain.Watcher(str(checkpoint))
    thoughts: list[str] = []
    for example in corpus.read(range(EXAMPLES_THOUGHT_ABOUT)):
        footage = footage_of(example, corpus.clips)
        pieces = example.sample.transcript.pieces
        (result,) = roll(engine, [sample_request(example, Sampling(0, max_tokens=60))], RolloutLimits(1))
        thoughts.append("".join(piece.text or "" for piece in result.transcript.pieces if piece.author != "prompt"))
        question = "".join(piece.text or "" for piece in pieces if piece.author == "prompt")
        assert watcher.think(question, clip_of(footage.coarse()), looking(footage)) == thoughts[-1]
    assert any("</fps>" in thought and "</answer>" in thought for thought in thoughts)
    lane = Path(__file__).parent / "lane" / "plain_vllm.py"
    words = [sys.executable, lane, checkpoint, place, str(EXAMPLES_THOUGHT_ABOUT)]
    done = subprocess.run(words, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    assert json.loads(next(line for line in done.stdout.splitlines() if line.startswith('["'))) == thoughts


def test_its_frames_are_ours() -> None:
    for seconds in (Fraction(5), Fraction(3537, 100), Fraction(1200)):
        times_s = plain.coarse_times(float(seconds), 2, 256)
        assert np.allclose(times_s, [float(time_s) for time_s in plan_coarse(seconds).times_s])
        for window, fps in ((Window(0, 500), 2), (Window(13, 447), 3), (Window(100, 111), 1), (Window(0, 3000), 12)):
            ours = plan_look(Look(window, Fraction(fps)), seconds, max_frames=64).times_s
            start_s, end_s = float(window.start_s), float(window.end_s)
            assert np.allclose(plain.look_times(start_s, end_s, fps, float(seconds), 64), [float(time_s) for time_s in ours])
    for width, height, frames, tokens in (
        (1280, 720, 64, 8192),
        (720, 1280, 256, 12_288),
        (96, 64, 6, 400),
        (3840, 2160, 4, 8192),
    ):
        size = plan_size(frames, width, height, tokens)
        assert plain.size_of(width, height, frames, tokens) == (size.width, size.height)


def test_the_command_prints_what_a_student_thinks_about_a_file(checkpoint: Path, tmp_path: Path) -> None:
    video = write(Case("video"), tmp_path)
    words = [str(checkpoint), str(video), "Which colour?", "--coarse-tokens", "60", "--look-tokens", "60"]
    script = EXAMPLES / "look_with_transformers.py"
    done = subprocess.run([sys.executable, script, *words], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.startswith("<think>")
