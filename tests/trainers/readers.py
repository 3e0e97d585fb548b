"""Other trainers' own readers: each loads an export with its own code, by the settings that docs/formats.md names, and says
what it would train on.

Only they are asked, no model is trained: a row is what their collators get. Where a reader keeps numbers of the published
tokenizer, it is told those of the small one.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import chdir
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class TrainedRow:
    """What a reader made of a sample."""

    ids: list[int]
    labels: list[int]
    """The ids that are trained on."""
    frames: list[int]
    """Of each clip, a lone last one counted twice."""


def llamafactory(folder: Path, student: Path, out: Path) -> Iterator[TrainedRow]:
    """By its own loader, template `qwen3_vl_nothink`, and preprocessing."""
    os.environ["DISABLE_VERSION_CHECK"] = "1"  # it pins an older transformers; its reader runs with this one
    import trl

    trl.AutoModelForCausalLMWithValueHead = object  # pyright: ignore (a name of an older one, which no reader uses)
    from llamafactory.data import get_dataset, get_template_and_fix_tokenizer  # pyright: ignore
    from llamafactory.hparams import get_train_args  # pyright: ignore
    from llamafactory.model import load_tokenizer  # pyright: ignore

    arguments = {
        "model_name_or_path": str(student), "stage": "sft", "do_train": True, "finetuning_type": "full", "dataset": "cot",
        "dataset_dir": str(folder), "media_dir": str(folder), "template": "qwen3_vl_nothink", "cutoff_len": 1 << 15,
        "output_dir": str(out), "overwrite_cache": True, "report_to": "none", "use_cpu": True,
        "video_fps": 12, "video_maxlen": 256,
    }  # fmt: skip
    model_args, data_args, training_args, _, _ = get_train_args(arguments)
    modules = load_tokenizer(model_args)
    template = get_template_and_fix_tokenizer(modules["tokenizer"], data_args)
    dataset = get_dataset(template, model_args, data_args, training_args, stage="sft", **modules)["train_dataset"]
    for row in dataset:
        videos = [
            str(folder / Path(video).relative_to(folder)) if Path(video).is_absolute() else video for video in row["videos"]
        ]
        media = template.mm_plugin._get_mm_inputs([], videos, [], modules["processor"])
        yield TrainedRow(row["input_ids"], [label for label in row["labels"] if label >= 0], frames_of(media["video_grid_thw"]))


def swift(folder: Path, student: Path, out: Path) -> Iterator[TrainedRow]:
    """By its own dataset and the template of `qwen3_vl`."""
    os.environ |= {"FPS": "12", "FPS_MIN_FRAMES": "2"}  # all frames of each clip: none has more than the grid
    from swift.dataset import load_dataset  # pyright: ignore
    from swift.model import get_processor  # pyright: ignore
    from swift.template import get_template  # pyright: ignore

    with chdir(folder):
        dataset, _ = load_dataset([str(folder / "trajectories.jsonl")], num_proc=1)
        template = get_template(get_processor(str(student), model_type="qwen3_vl"))
        template.video_token_id = template.tokenizer.convert_tokens_to_ids("<|video_pad|>")
        template.set_mode("train")
        for row in dataset:
            encoded = template.encode(row)
            labels = [label for label in encoded["labels"] if label >= 0]
            yield TrainedRow(encoded["input_ids"], labels, frames_of(encoded["video_grid_thw"]))


def verl(folder: Path, student: Path, out: Path) -> Iterator[TrainedRow]:
    """By its dataset for SFT of several turns, with the positions of Qwen3-VL, which it computes elsewhere but not here."""
    from omegaconf import OmegaConf  # pyright: ignore
    from transformers import AutoProcessor, AutoTokenizer
    from verl.models.transformers.qwen3_vl import get_rope_index  # pyright: ignore
    from verl.utils.dataset import multiturn_sft_dataset  # pyright: ignore

    multiturn_sft_dataset.get_rope_index = get_rope_index
    tokenizer, processor = (loader.from_pretrained(str(student)) for loader in (AutoTokenizer, AutoProcessor))
    settings = OmegaConf.create(
        {
            "max_length": 1 << 15, "truncation": "error", "pad_mode": "no_padding",
            "apply_chat_template_kwargs": {"do_sample_frames": False},
        }
    )  # fmt: skip
    with chdir(folder):
        dataset = multiturn_sft_dataset.MultiTurnSFTDataset(str(folder / "sft.parquet"), tokenizer, settings, processor)
        for number in range(len(dataset)):
            row = dataset[number]
            labels = row["input_ids"][row["loss_mask"].bool()].tolist()
            yield TrainedRow(row["input_ids"].tolist(), labels, frames_of(row["multi_modal_inputs"]["video_grid_thw"]))


def frames_of(grids: Any) -> list[int]:
    """Two frames make a patch in time."""
    return [2 * int(grid[0]) for grid in grids]


def verl_prompts(folder: Path, student: Path) -> list[dict[str, Any]]:
    """Its rows for RL."""
    from omegaconf import OmegaConf  # pyright: ignore
    from transformers import AutoProcessor, AutoTokenizer
    from verl.utils.dataset.rl_dataset import RLHFDataset  # pyright: ignore

    tokenizer, processor = (loader.from_pretrained(str(student)) for loader in (AutoTokenizer, AutoProcessor))
    settings = OmegaConf.create({"max_prompt_length": 1 << 15, "cache_dir": str(folder.parent / "cache")})
    with chdir(folder):
        dataset = RLHFDataset(str(folder / "rl.parquet"), tokenizer, settings, processor)
        return [dataset[number] for number in range(len(dataset))]
