"""verl's own worker rolls out our export: the student calls `crop_video`, and is shown what our own rollout would show it."""

from __future__ import annotations

import asyncio
import json
import re
from contextlib import chdir
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from dmforge.curation.exports import export
from dmforge.curation.shards.corpus import Corpus
from dmforge.generators.footage import PromptPiece
from dmforge.generators.look_tool.call_arguments import read_arguments
from dmforge.generators.rendition_footage import footage_of
from dmforge.generators.student.load_student import load
from dmforge.generators.student.patchify import normalised, patchify
from dmforge.schemas.dialects.tool_dialect import CROP_VIDEO, TOOL
from dmforge.schemas.errors import InputError
from dmforge.schemas.looks import Look
from tests.trainers.caller import WORLDS, packed, taught_caller

MARKED = re.compile(
    r"<\|vision_start\|>((?:<[0-9.]+ seconds><\|vision_start\|>(?:<\|video_pad\|>)+<\|vision_end\|>)+)<\|vision_end\|>"
)
"""A clip with the markers around it that transformers 5 keeps and a student is not shown."""


@pytest.fixture(scope="module")
def tasks(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    return packed(tmp_path_factory.mktemp("tasks") / "rl", "rl")


@pytest.fixture(scope="module")
def student(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("caller")
    return taught_caller(packed(folder / "cot", "cot"), folder / "student")


@pytest.fixture(scope="module")
def exported(tasks: Corpus, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("export") / "verl"
    export(tasks, "verl", folder)
    return folder


def config_of(student: Path, exported: Path, tool: str, loop: str, folder: Path) -> Any:
    """verl's own settings of a training by PPO, with what docs/look_tool.md says."""
    import verl  # pyright: ignore
    from hydra import compose, initialize_config_dir  # pyright: ignore

    module = "dmforge.generators.look_tool.verl_tool"
    tools = {"tools": [{"class_name": f"{module}.{tool}", "config": {"type": "native", "folder": str(exported)}}]}
    (folder / "tools.yaml").write_text(json.dumps(tools))
    (folder / "loops.yaml").write_text(json.dumps([{"name": "tool_agent", "_target_": loop}]))
    rollout = "actor_rollout_ref.rollout"
    overrides = [
        f"actor_rollout_ref.model.path={student}", f"{rollout}.name=vllm", f"{rollout}.multi_turn.enable=true",
        f"{rollout}.multi_turn.tool_config_path={folder}/tools.yaml", f"{rollout}.multi_turn.max_tool_response_length=4096",
        f"{rollout}.agent.agent_loop_config_path={folder}/loops.yaml",
        "data.max_prompt_length=2048", "data.max_response_length=2048", f"+data.cache_dir={folder}/cache",
    ]  # fmt: skip
    with initialize_config_dir(str(Path(verl.__file__).parent / "trainer" / "config"), version_base=None):
        return compose("ppo_trainer", overrides)


def rolled_out(config: Any, server: Any, exported: Path) -> Any:
    """All rows by verl's dataset and worker, in the folder of the export."""
    from verl import DataProto  # pyright: ignore
    from verl.experimental.agent_loop.agent_loop import AgentLoopWorker  # pyright: ignore
    from verl.utils.dataset.rl_dataset import RLHFDataset, collate_fn  # pyright: ignore

    async def roll() -> Any:
        worker = AgentLoopWorker(config, server, None, None)
        dataset = RLHFDataset("rl.parquet", worker.tokenizer, config.data, worker.processor)
        rows = collate_fn([dataset[number] for number in range(len(dataset))])
        rows = {name: column for name, column in rows.items() if not isinstance(column, torch.Tensor)}
        return await worker.generate_sequences(DataProto(non_tensor_batch=rows, meta_info={"global_steps": 1}))

    with chdir(exported):
        return asyncio.run(roll())


def look_of(turn: Any) -> Look:
    """What the student asked for: a call, if not the one that it had learnt of this video."""
    return read_arguments(json.loads(turn.written.partition("<tool_call>")[2].partition("</tool_call>")[0])["arguments"])


OURS = "dmforge.generators.look_tool.verl_loop.LookAgentLoop"
THEIRS = "verl.experimental.agent_loop.tool_agent_loop.ToolAgentLoop"


def test_in_our_loop_a_look_is_the_video_that_our_own_rollout_shows(
    tasks: Corpus, student: Path, exported: Path, tmp_path: Path
) -> None:
    from tests.trainers.stand_in_server import StandInServer

    server = StandInServer(student)
    batch = rolled_out(config_of(student, exported, "CropVideoClip", OURS, tmp_path), server, exported)
    ours = load(str(student), dialect="tool")
    vocabulary, layout = ours.vocabulary, ours.layout
    assert len(server.turns) == 2 * len(WORLDS)
    for row, (world, example) in enumerate(zip(WORLDS, tasks, strict=True)):
        shown = [turn for turn in server.turns if world.task.question in vocabulary.decode(turn.shown_ids)]
        look = look_of(shown[0])
        # the clip, its stamps and all that the runtime writes around it, token by token
        clip = footage_of(example, tasks.clips).look(look)
        pieces = [PromptPiece(piece, clip if piece.is_clip else None) for piece in TOOL.answered((look,))]
        injected = "".join(vocabulary.decode(run.ids) for run in layout.stretches(pieces))
        shown_text = vocabulary.decode(shown[1].shown_ids)
        assert MARKED.sub(r"\1", shown_text).endswith(shown[0].written.removesuffix("<|im_end|>") + "<|im_end|>" + injected)
        assert CROP_VIDEO in shown_text
        # what is trained on: the policy's tokens, with the frames of both clips
        asked = vocabulary.decode(shown[1].asked_ids)
        assert asked.count("<|video_pad|>") == 2
        ids, mask = batch.batch["responses"][row], batch.batch["response_mask"][row].bool()
        assert vocabulary.decode(ids[mask].tolist()) == shown[0].written + shown[1].written
        media = batch.non_tensor_batch["multi_modal_inputs"][row]
        patches = normalised(torch.from_numpy(patchify(clip.frames)))
        assert media["video_grid_thw"].tolist() == [[3, 4, 4], [len(clip.stamps_s), 4, 4]]
        assert torch.allclose(media["pixel_values_videos"][-len(patches) :], patches, atol=1e-6)
        assert batch.batch["position_ids"].shape[1] == 4


def test_in_verls_own_loop_a_look_is_images_with_their_stamps(
    tasks: Corpus, student: Path, exported: Path, tmp_path: Path
) -> None:
    from tests.trainers.stand_in_server import StandInServer

    server = StandInServer(student)
    batch = rolled_out(config_of(student, exported, "CropVideoImages", THEIRS, tmp_path), server, exported)
    vocabulary = load(str(student), dialect="tool").vocabulary
    for row, (world, example) in enumerate(zip(WORLDS, tasks, strict=True)):
        first, turn = (turn for turn in server.turns if world.task.question in vocabulary.decode(turn.shown_ids))
        clip = footage_of(example, tasks.clips).look(look_of(first))
        stamps = " ".join(f"<{float(time_s):.1f} seconds>" for time_s in clip.times_s)
        assert f"<|vision_end|>Frames at {stamps}\n</tool_response>" in vocabulary.decode(turn.shown_ids)
        media = batch.non_tensor_batch["multi_modal_inputs"][row]
        # the image processor of Qwen3-VL enlarges what has less than 65,536 pixels
        assert media["image_grid_thw"].tolist() == [[1, 16, 16]] * len(clip.times_s)
        assert batch.batch["response_mask"][row].sum() > 0


def test_each_loop_takes_its_own_tool_and_refuses_the_other(student: Path, exported: Path, tmp_path: Path) -> None:
    from tests.trainers.stand_in_server import StandInServer

    for tool, loop, refusal in (
        ("CropVideoImages", OURS, InputError),
        ("CropVideoClip", THEIRS, NotImplementedError),
    ):
        with pytest.raises(refusal):
            rolled_out(config_of(student, exported, tool, loop, tmp_path), StandInServer(student), exported)


@pytest.mark.parametrize("tool_name", ["CropVideoImages", "CropVideoClip"])
def test_a_call_that_is_no_look_is_answered_in_words(tool_name: str, exported: Path) -> None:
    import pyarrow.parquet as pq

    from dmforge.generators.look_tool import verl_tool

    tool = getattr(verl_tool, tool_name)({"type": "native", "folder": str(exported)})
    row = pq.read_table(exported / "rl.parquet").to_pylist()[0]
    told = row["extra_info"]["tools_kwargs"]["crop_video"]

    async def answers(*calls: dict[str, Any]) -> list[Any]:
        instance, _ = await tool.create(create_kwargs=told["create_kwargs"])
        replies = [await tool.execute(instance, call) for call in calls]
        await tool.release(instance)
        return [response for response, _, _ in replies]

    late, wrong, right = asyncio.run(
        answers(
            {"start_time": 99, "end_time": 100, "fps": 2},
            {"start_time": 1, "end_time": 2},
            {"start_time": 1, "end_time": 2, "fps": 2},
        )
    )
    assert "begins after the video ends at 12.00 s" in late.text
    assert "frames per second above 0 are needed" in wrong.text
    assert not [response for response in (late, wrong) if response.image or response.video]
    frames = right.image or list(right.video[0][0])
    assert len(frames) == 2
    assert np.asarray(frames[0]).size == 64 * 64 * 3


def test_what_a_student_is_told_of_the_function_is_what_sft_taught(exported: Path) -> None:
    from dmforge.generators.look_tool.verl_tool import CropVideoClip

    tool = CropVideoClip({"type": "native", "folder": str(exported)})
    assert json.dumps(tool.tool_schema.model_dump(exclude_unset=True, exclude_none=True)) == CROP_VIDEO
