"""A student so small that it is taught in seconds to call `crop_video`: with it other trainers' loops get as far as the call.

It learns two trajectories by heart, in the dialect `tool`, frames and all. What it writes behind other clips is its own affair.
"""

from __future__ import annotations

from importlib import resources
from pathlib import Path
from typing import Any

import torch

from dmforge.curation.packing.drawn_videos import DrawnVideo, pack_drawn, task_sample, trajectory_sample
from dmforge.curation.shards.corpus import Corpus
from dmforge.generators.footage import show
from dmforge.generators.rendition_footage import footage_of
from dmforge.generators.student.patchify import normalised
from dmforge.generators.student.tiny import make_tiny
from dmforge.schemas.clips import Clips
from dmforge.schemas.dialects.translation import say_in
from tests.support.flicker import EXACT, World

STEPS, RATE = 100, 3e-3
CLIPS = Clips(coarse_frames=6, look_frames=24, coarse_tokens=12, look_tokens=48)
WORLDS = tuple(World(number, 3) for number in range(2))
"""Seen at twice their size: processors of Hugging Face enlarge clips of one token a patch."""


def packed(folder: Path, name: str) -> Corpus:
    """The worlds as trajectories (`cot`) or as tasks (`rl`)."""
    videos = [
        DrawnVideo(world.video_id, "flicker", f"flicker {world.number}", world.frames().repeat(2, 1).repeat(2, 2), [sample])
        for world in WORLDS
        for sample in [
            trajectory_sample(world.task, world.taught(EXACT), "flicker")
            if name == "cot"
            else task_sample(world.task, (world.look,))
        ]
    ]
    return Corpus(pack_drawn(folder, name, "caller", CLIPS, iter(videos)))


def learn_by_heart(model: Any, inputs: list[dict[str, Any]], trained: list[Any], steps: int) -> None:
    """Teach a model the marked tokens of some contexts, in turn."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=RATE)
    model.train()
    for step in range(steps):
        context, is_trained = inputs[step % len(inputs)], trained[step % len(inputs)][1:]
        logits = model(**context, use_cache=False).logits[0, :-1]
        loss = torch.nn.functional.cross_entropy(logits[is_trained], context["input_ids"][0, 1:][is_trained])
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
    model.eval()


def taught_caller(corpus: Corpus, folder: Path) -> Path:
    """The checkpoint of a student that has learnt the trajectories of a corpus, with the chat template of Qwen3-VL."""
    lessons = [(say_in("tool", example.sample.transcript, ""), footage_of(example, corpus.clips)) for example in corpus]
    texts = [piece.text for transcript, _ in lessons for piece in transcript.pieces if piece.text]
    student = make_tiny("speck", texts, dialect="tool")
    laid_out = [student.layout.join(student.layout.transcript(show(pieces.pieces, footage))) for pieces, footage in lessons]
    inputs = [
        {
            "input_ids": torch.from_numpy(laid.ids)[None],
            "position_ids": torch.from_numpy(laid.positions)[:, None],
            "pixel_values_videos": normalised(torch.from_numpy(laid.patches)),
            "video_grid_thw": torch.from_numpy(laid.grids),
        }
        for laid in laid_out
    ]
    learn_by_heart(student.model, inputs, [torch.from_numpy(laid.trained) for laid in laid_out], STEPS)
    student.save(folder)
    (folder / "chat_template.jinja").write_text((resources.files("trl") / "chat_templates" / "qwen3_vl.jinja").read_text())
    return folder
