"""TRL's GRPOTrainer practises with our example: the student calls `crop_video`, and is trained with its frames as images."""

from __future__ import annotations

import importlib.util
import sys
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import torch

from dmforge.generators.rendition_footage import footage_of
from dmforge.generators.student.tiny import make_tiny
from tests.trainers.caller import WORLDS, learn_by_heart, packed

EXAMPLE = Path(__file__).parents[2] / "examples" / "practise_with_trl.py"
CALL = '<tool_call>\n{"name": "crop_video", "arguments": {"start_time": 2, "end_time": 4, "fps": 2}}\n</tool_call><|im_end|>'


def example() -> Any:
    spec = importlib.util.spec_from_file_location("practise_with_trl", EXAMPLE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def test_a_step_of_grpo_with_looks_in_it(tmp_path: Path) -> None:
    from trl import GRPOConfig  # pyright: ignore

    practise, corpus = example(), packed(tmp_path / "rl", "rl")
    student = make_tiny(
        "speck", [world.task.question for world in WORLDS] + [CALL, practise.Viewer.crop_video.__doc__], 0, "tool"
    )
    student.save(tmp_path / "student")
    template = resources.files("trl") / "chat_templates" / "qwen3_vl.jinja"
    (tmp_path / "student" / "chat_template.jinja").write_text(template.read_text())

    shown: list[list[dict[str, Any]]] = []
    looked = practise.Viewer.crop_video

    def crop_video(self, start_time: float, end_time: float, fps: float):  # type: ignore[no-untyped-def]
        shown.append(looked(self, start_time, end_time, fps))
        return shown[-1]

    crop_video.__doc__ = looked.__doc__
    practise.Viewer.crop_video = crop_video  # the same, watched
    settings = GRPOConfig(
        str(tmp_path / "out"), max_steps=1, per_device_train_batch_size=2, num_generations=2, max_completion_length=2048,
        max_tool_calling_iterations=1, temperature=0.1, use_cpu=True, bf16=False, report_to="none", shuffle_dataset=False,
        save_strategy="no",
    )  # fmt: skip
    trainer = practise.trainer_for(str(tmp_path / "student"), corpus, settings)

    # the student learns by heart to call, in the very context that the trainer will show it
    viewer = trainer.environment_factories[None]()
    prompt = [{"role": "user", "content": [{"type": "text", "text": corpus[0].sample.question}, *viewer.reset(0)]}]
    context = trainer.processing_class.apply_chat_template(
        [prompt], tools=[viewer.crop_video], chat_template=trainer.chat_template, add_generation_prompt=True, tokenize=True,
        return_dict=True, return_tensors="pt",
    )  # fmt: skip
    call_ids = torch.tensor([student.vocabulary.encode(CALL)])
    ids = torch.cat([context["input_ids"], call_ids], 1)
    kinds = (ids == trainer.processing_class.image_token_id).long()
    inputs = {"input_ids": ids, "mm_token_type_ids": kinds, "pixel_values": context["pixel_values"]}
    inputs["image_grid_thw"] = context["image_grid_thw"]
    learn_by_heart(trainer.model, [inputs], [torch.arange(ids.shape[1]) >= context["input_ids"].shape[1]], 60)

    images_trained: list[int] = []

    def count_images(model: Any, arguments: Any, options: dict[str, Any]) -> None:
        if "labels" in options:  # it generates without
            images_trained.append(len(options["image_grid_thw"]))

    trainer.model.register_forward_pre_hook(count_images, with_kwargs=True)
    trainer.train()
    metrics = {name: value for entry in trainer.state.log_history for name, value in entry.items()}
    assert metrics["tools/call_frequency"] == 1
    assert metrics["tools/failure_frequency"] == 0
    clip = footage_of(corpus[0], corpus.clips)
    look = practise.crop_video(clip, {"start_time": 2, "end_time": 4, "fps": 2})
    assert len(shown) == 2
    for parts in shown:
        assert np.array_equal([np.asarray(part["image"]) for part in parts if part["type"] == "image"], look.frames)
        assert [part["text"] for part in parts if part["type"] == "text"] == [f"<{2 + n / 2:.1f} seconds>" for n in range(4)]
    assert images_trained == [2 * (len(clip.coarse().times_s) + len(look.times_s))]  # of both rollouts, overview and look
    assert np.isfinite(metrics["train_loss"])
    assert all(torch.isfinite(weight).all() for weight in trainer.model.parameters())
