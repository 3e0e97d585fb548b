"""Checkpoints that are complete or absent: ordinary Hugging Face folders, with all that a training needs to resume exactly.

checkpoint-500/    config.json, model.safetensors, tokenizer, README.md   what `from_pretrained` reads; or adapters
                   optimizer.pt, scheduler.pt, rng_state*.pth, trainer_state.json, reader.json
                   optimizer-*.rows in place of optimizer.pt, where ranks hold a student together
                   checksums.sha256                                       of all these files
.saving/           one that is being written; after a kill the next training removes it
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dmforge import __version__
from dmforge.curation.io.atomic import disk_errors, make_folder, sync_files, sync_folder
from dmforge.curation.io.checksums import write_checksums
from dmforge.curation.shards.corpus import Corpus
from dmforge.schemas.ids import base32, digest
from dmforge.trainers.training_settings import TrainingSettings

SAVING, READER = ".saving", "reader.json"
NAME = re.compile(r"checkpoint-([0-9]+)")


def steps_of(out: Path) -> dict[int, Path]:
    """The complete checkpoints of a training, by step."""
    path_by_step = {
        int(name_match[1]): checkpoint_path
        for checkpoint_path in out.glob("checkpoint-*")
        if (name_match := NAME.fullmatch(checkpoint_path.name))
    }
    return dict(sorted(path_by_step.items()))


def sweep(out: Path) -> None:
    """Remove a checkpoint that a kill left half written."""
    with disk_errors(out):
        if (out / SAVING).exists():
            shutil.rmtree(out / SAVING)
        make_folder(out)


def publish(out: Path, max_kept: int, best_step: int | None = None) -> None:
    """Make the complete checkpoint under `.saving` durable, move it to its place, and remove all but the newest `max_kept` and
    the best."""
    with disk_errors(out):
        for saved_folder in sorted((out / SAVING).iterdir()):
            write_checksums(saved_folder)
            sync_files(saved_folder)
            published_folder = out / saved_folder.name
            if published_folder.exists():  # a training that was resumed from an earlier checkpoint reaches this step again
                shutil.rmtree(published_folder)
            os.replace(saved_folder, published_folder)
            sync_folder(out)
        (out / SAVING).rmdir()
        for step, old_checkpoint in [*steps_of(out).items()][:-max_kept]:
            if step != best_step:
                shutil.rmtree(old_checkpoint)


def write_card(
    folder: Path, settings: TrainingSettings, corpora: Sequence[Corpus], step: int, method: str, family: str
) -> None:
    """Write README.md: what the model was made from, by which recipe and version. No dates, no paths."""
    recipe, manifests = recipe_of(settings, corpora), [corpus.manifest for corpus in corpora]
    base = settings.model.from_config or Path(settings.model.checkpoint).name
    library = "peft" if settings.model.adapters else "transformers"
    of_base = [f"| adapters for | `{base}`, whose bytes base.json names |"] if settings.model.adapters else []
    card_lines = [
        "---", f"library_name: {library}", "pipeline_tag: video-text-to-text", "tags:", "- dmforge", f"- {family}", "---", "",
        f"# {settings.name}", "",
        f"A Qwen3-VL that looks again at a stretch of a video while it thinks; {step} steps of {method} from `{base}`.", "",
        "| | |", "|---|---|",
        *(f"| corpus | {packed.corpus}, selection `{packed.selection}`, {packed.samples} samples |" for packed in manifests),
        *of_base,
        f"| recipe | `{base32(digest(method.lower(), recipe))}` |",
        f"| made by | dmforge {__version__} |", "",
        "The policy writes `<span>start - end</span><fps>n</fps>`; the runtime shows it these frames.", "",
        "## Recipe", "", "```json", json.dumps({**recipe, "frames": manifests[0].clips}, indent=1), "```", "",
    ]  # fmt: skip
    (folder / "README.md").write_text("\n".join(card_lines), "utf-8")


def recipe_of(settings: TrainingSettings, corpora: Sequence[Corpus]) -> dict[str, Any]:
    """All that decides the weights: the settings, with selections by their digests instead of their paths."""
    semantic_settings = settings.semantic()
    corpus_weights = [corpus.weight for corpus in settings.data.corpora]
    semantic_settings["data"]["corpora"] = [
        [corpus.manifest.selection, corpus_weight] for corpus, corpus_weight in zip(corpora, corpus_weights, strict=True)
    ]
    model_settings = semantic_settings["model"]
    model_settings["checkpoint"] = Path(model_settings["checkpoint"]).name
    if "vocabulary" in model_settings:
        model_settings["vocabulary"] = [Corpus(place).manifest.selection for place in model_settings["vocabulary"]]
    if "until" in semantic_settings:
        semantic_settings["until"]["corpus"] = Corpus(semantic_settings["until"]["corpus"]).manifest.selection
    return semantic_settings
