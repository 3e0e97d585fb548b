"""One of several ranks that hold a student together: what does it know of the whole, and whom does it wait for?"""

from __future__ import annotations

import json
import sys

import torch
import torch.distributed as dist

from dmforge.generators.inference.engines.engine import Sampling
from dmforge.generators.inference.engines.transformers_engine import TransformersEngine
from dmforge.generators.inference.rollout import RolloutLimits, RolloutRequest, prompt_of, roll
from dmforge.generators.student.load_student import Student, load
from dmforge.generators.student.weights import LiveCheckpoint
from dmforge.schemas.transcript import Transcript
from dmforge.trainers.batches import logits_of, pack, summed_loss
from dmforge.trainers.sharding import shard, whole
from tests.student.students import Barcodes, look, shown, speck, transcript


def furthest(student: Student) -> float:
    """How far the weights of a student's checkpoint in memory are from those that it began with."""
    live = LiveCheckpoint(student, torch.float32)
    live.renew(student)
    assert json.loads((live.path / "config.json").read_text())["architectures"] == ["Qwen3VLForConditionalGeneration"]
    weights, others = load(str(live.path)).model.state_dict(), speck().model.state_dict()
    live.close()
    return max(float((weights[name] - others[name]).abs().max()) for name in others)


def gradients_off(student: Student, rank: int) -> float:
    """How far the gradients are from those of one process, where one rank is shown clips and others are shown none."""
    with_clips = transcript(look(100, 300))
    without_clips = Transcript(tuple(piece for piece in with_clips.pieces if piece.text))
    batches = [pack([student.layout.join(student.layout.transcript(shown(laid)))]) for laid in (with_clips, without_clips)]
    alone = speck().model
    sum(summed_loss(logits_of(alone, batch), batch) for batch in batches).backward()  # pyright: ignore
    batch = batches[min(rank, 1)]
    loss = summed_loss(logits_of(student.model, batch), batch)
    (loss if rank < 2 else 0.0 * loss).backward()
    own = {name: weight.grad.full_tensor() * dist.get_world_size() for name, weight in student.model.named_parameters()}
    largest = max(float(weight.grad.abs().max()) for weight in alone.parameters())
    return max(float((own[name] - weight.grad).abs().max()) for name, weight in alone.named_parameters()) / largest


def rolled(student: Student, rank: int) -> list[str]:
    """What a rank's rollouts write, as many of them as its number says."""
    footage = Barcodes()
    prompt = prompt_of(transcript().pieces[:2], footage)
    requests = [RolloutRequest(prompt, footage, Sampling(1.0, seed, 8 + 8 * rank)) for seed in range(1 + rank)]
    with whole(student.model):
        results = roll(TransformersEngine(student), requests, RolloutLimits(1))
    return ["".join(piece.text or "" for piece in result.transcript.pieces) for result in results]


if __name__ == "__main__":
    torch.set_num_threads(1)
    dist.init_process_group("gloo")
    rank, student = dist.get_rank(), speck()
    shard(student.model, torch.device("cpu"), dist.get_world_size(), bf16=False)
    written = rolled(student, rank)
    figures = {
        "part": sum(weight.to_local().numel() for weight in student.model.parameters()),
        "written": written, "as_alone": written == rolled(speck(), rank), "weights_off": furthest(student),
        "gradients_off": gradients_off(student, rank),
    }  # fmt: skip
    sys.stdout.write(json.dumps(figures))
    dist.destroy_process_group()
