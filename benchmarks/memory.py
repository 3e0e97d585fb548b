"""Is what `dmforge train --plan` says of memory what a training takes? Layers as wide as those of Qwen3-VL-4B, at two depths.

Each training is a process of its own: two updates of one row of text, after which the system says the most memory that it
ever had. The difference between two depths is what a layer costs; all that doesn't depend on depth falls out of it, so a tiny
vocabulary and no pictures do. The same difference is taken of the plan.

    python -m benchmarks.memory
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from transformers import AutoModelForImageTextToText

from benchmarks.gpu import config_4b
from dmforge.generators.student.attention import use_attention
from dmforge.generators.student.load_student import Student
from dmforge.generators.student.tiny import make_tiny
from dmforge.generators.student.token_layout import LaidOutTranscript
from dmforge.generators.student.vocabulary import Vocabulary
from dmforge.trainers.batches import logits_of, pack, summed_loss
from dmforge.trainers.memory.fake_student import PIXELS_A_PATCH, RowSize
from dmforge.trainers.memory.memory_plan import MemoryEstimate
from dmforge.trainers.memory.row_sizes import RolloutSize
from dmforge.trainers.model_setup import prepare_student
from dmforge.trainers.sdgrpo.sdgrpo_settings import SdgrpoSettings
from dmforge.trainers.training_settings import SftSettings
from tests.support.tables import show

COMMAND = "python -m benchmarks.memory"
METHODS = {SftSettings: "SFT", SdgrpoSettings: "SD-GRPO"}
CASES: Mapping[str, dict[str, Any]] = {
    "float32": {},
    "bf16": {"training": {"bf16": True}},
    "bf16, gradient_checkpointing": {"training": {"bf16": True, "gradient_checkpointing": True}},
    "weights in bfloat16": {"model": {"weights": "bfloat16"}},
    "adapters, bf16": {"model": {"adapters": {}}, "training": {"bf16": True}},
}
DEPTHS = (1, 3)
VOCABULARY_ROWS = 512
MB, GB = 1 << 20, 1 << 30
CARD_BYTES = 72 * GB
"""Of a card of 80 GB; the rest is for its driver, libraries and gaps."""
LEAST_FIRST: Mapping[str, dict[str, Any]] = {
    "as it is": {"training": {"bf16": True}},
    "gradient_checkpointing": {"training": {"bf16": True, "gradient_checkpointing": True}},
    "fsdp2": {"training": {"bf16": True, "shard": "fsdp2"}},
    "fsdp2, gradient_checkpointing": {"training": {"bf16": True, "shard": "fsdp2", "gradient_checkpointing": True}},
    "fsdp2, gradient_checkpointing, weights in bfloat16": {
        "model": {"weights": "bfloat16"},
        "training": {"bf16": True, "shard": "fsdp2", "gradient_checkpointing": True},
    },
    "adapters, gradient_checkpointing": {
        "model": {"adapters": {}}, "training": {"bf16": True, "gradient_checkpointing": True},
    },
    "adapters, gradient_checkpointing, weights in bfloat16": {
        "model": {"adapters": {}, "weights": "bfloat16"}, "training": {"bf16": True, "gradient_checkpointing": True},
    },
}  # fmt: skip
"""Settings, those that cost nothing first."""
CARDS = (1, 2, 4, 8)
CARD_ROW, CARD_ROLLOUTS = RowSize(16_384, 4 * 12_288, 2_048), RolloutSize(32, 6_144)
"""What goes through each card: a row of which three quarters are frames, and rollouts of four prompts, eight each."""


def settings_of(changes: Mapping[str, Any], method: Any = SftSettings) -> Any:
    """The settings of a training; what they name isn't opened."""
    return method.model_validate(
        {
            "out": "out", "model": {"checkpoint": "planned", **changes.get("model", {})},
            "data": {"corpora": [{"place": "planned"}]}, "training": {"steps": 2, **changes.get("training", {})},
        }
    )  # fmt: skip


def config_of(vocabulary: Vocabulary, depth: int) -> Any:
    """So many layers of the 4B's width, with few words and an eye of one block."""
    config = config_4b(vocabulary)
    config.text_config.num_hidden_layers, config.text_config.vocab_size = depth, VOCABULARY_ROWS
    config.vision_config.depth, config.vision_config.deepstack_visual_indexes = 1, [0]
    return config


def trained(case: str, depth: int, tokens: int) -> int:
    """The most bytes that this process ever had, after two updates."""
    settings, vocabulary = settings_of(CASES[case]), make_tiny("speck", ["a"], 0).vocabulary
    dtype = getattr(torch, settings.model.weights)
    model: Any = AutoModelForImageTextToText.from_config(config_of(vocabulary, depth), dtype=dtype)
    use_attention(model)
    model = prepare_student(Student(model, vocabulary, "planned"), settings.model).model.train()
    if settings.training.gradient_checkpointing:
        model.gradient_checkpointing_enable({"use_reentrant": False})
    learning = [weight for weight in model.parameters() if weight.requires_grad]
    optimizer = torch.optim.AdamW(learning, lr=1e-5, fused=True)
    ids, learnt = np.arange(tokens) % 200, np.ones(tokens, bool)
    positions = np.tile(np.arange(tokens), (3, 1))
    nothing = np.zeros((0, PIXELS_A_PATCH), np.uint8)
    batch = pack([LaidOutTranscript(ids, learnt, learnt, positions, nothing, np.zeros((0, 3), np.int64))])
    for _ in range(2):
        with torch.autocast("cpu", torch.bfloat16, enabled=settings.training.bf16):
            loss = summed_loss(logits_of(model, batch), batch)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def planned(case: str, depth: int, tokens: int) -> int:
    """The same, as it is planned."""
    vocabulary = make_tiny("speck", ["a"], 0).vocabulary
    row = RowSize(tokens, 0, tokens)
    estimate = MemoryEstimate(config_of(vocabulary, depth), vocabulary, row, RolloutSize(0, 0), 1)
    return estimate.need(settings_of(CASES[case])).peak


def config_8b(vocabulary: Vocabulary) -> Any:
    """Qwen3-VL-8B by its numbers."""
    config = config_4b(vocabulary)
    text, eye = config.text_config, config.vision_config
    text.hidden_size, text.intermediate_size, eye.out_hidden_size = 4096, 12_288, 4096
    eye.depth, eye.hidden_size, eye.intermediate_size, eye.deepstack_visual_indexes = 27, 1152, 4304, [8, 16, 24]
    config.tie_word_embeddings = text.tie_word_embeddings = False
    return config


def what_fits() -> None:
    """For each student, method and number of cards the first settings that fit."""
    vocabulary = make_tiny("speck", ["a"], 0).vocabulary
    rows: list[list[object]] = []
    for student, config in (("4B", config_4b(vocabulary)), ("8B", config_8b(vocabulary))):
        for method, rollouts in ((SftSettings, RolloutSize(0, 0)), (SdgrpoSettings, CARD_ROLLOUTS)):
            for cards in CARDS:
                estimate = MemoryEstimate(config, vocabulary, CARD_ROW, rollouts, cards)
                peaks = {name: estimate.need(settings_of(changes, method)).peak
                         for name, changes in LEAST_FIRST.items() if cards > 1 or "fsdp2" not in name}  # fmt: skip
                fitting = next((name for name, peak in peaks.items() if peak <= CARD_BYTES), "none")
                peak_gb = f"{peaks[fitting] / GB:.0f}" if fitting in peaks else ""
                rows.append([student, METHODS[method], cards, fitting, peak_gb, f"{peaks['as it is'] / GB:.0f}"])
    columns = ["student", "training", "cards", "first settings that fit", "GB each", "GB each as it is"]
    show("What fits cards of 80 GB, by the plan", f"{COMMAND} --cards", columns, rows)


def in_a_process(case: str, depth: int, tokens: int) -> int:
    command = [sys.executable, "-m", "benchmarks.memory", "--case", case, "--depth", str(depth), "--tokens", str(tokens)]
    return int(json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--case", choices=list(CASES), help="train one, and print its bytes")
    parser.add_argument("--depth", type=int, default=1)
    parser.add_argument("--tokens", type=int, default=1024, help="of the row")
    parser.add_argument("--cards", action="store_true", help="say what fits cards of 80 GB, and train nothing")
    arguments = parser.parse_args()
    if arguments.cards:
        what_fits()
        return
    if arguments.case:
        torch.set_num_threads(1)
        print(trained(arguments.case, arguments.depth, arguments.tokens))
        return
    rows: list[list[object]] = []
    for case in CASES:
        measured_bytes, planned_bytes = (
            (deep - shallow) // (DEPTHS[1] - DEPTHS[0])
            for shallow, deep in (
                [size_of(case, depth, arguments.tokens) for depth in DEPTHS] for size_of in (in_a_process, planned)
            )
        )
        off = planned_bytes / measured_bytes - 1
        rows.append([case, round(measured_bytes / MB), round(planned_bytes / MB), f"{off:+.1%}"])
        print(rows[-1], file=sys.stderr, flush=True)
    columns = ["training", "measured, MB a layer", "planned, MB a layer", "plan against measured"]
    show(f"Memory of a layer of the 4B's width, rows of {arguments.tokens:,} tokens", COMMAND, columns, rows)


if __name__ == "__main__":
    main()
