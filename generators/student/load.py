"""Students come from ordinary Hugging Face folders or ids, and go into such folders again."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoTokenizer, Qwen3VLForConditionalGeneration
from transformers.utils.hub import cached_file

from dmforge.generators.student.attention import use
from dmforge.generators.student.layout import Layout
from dmforge.generators.student.patchify import FRAMES, MERGE, PATCH
from dmforge.generators.student.tags import add_tags
from dmforge.generators.student.vocabulary import NEEDED, Vocabulary
from dmforge.schemas.errors import InputError

KIND = "qwen3_vl"
PROCESSING = ("preprocessor_config.json", "video_preprocessor_config.json", "processor_config.json")
"""What a folder says about pixels. We don't need it; whoever loads the folder with AutoProcessor does."""
EXPECTED: dict[str, Any] = {
    "patch_size": PATCH, "merge_size": MERGE, "temporal_patch_size": FRAMES,
    "image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5],
}  # fmt: skip
OWN: dict[str, dict[str, Any]] = {
    "video_preprocessor_config.json": {
        "video_processor_type": "Qwen3VLVideoProcessor", "size": {"shortest_edge": 4096, "longest_edge": 25_165_824},
        **EXPECTED,
    },
    "preprocessor_config.json": {
        "image_processor_type": "Qwen2VLImageProcessorFast", "size": {"shortest_edge": 65_536, "longest_edge": 16_777_216},
        **EXPECTED,
    },
}  # fmt: skip
"""What Qwen3-VL checkpoints say. A server that has no use for images still asks for them."""
TAGS_MISSING = "load it with tags added (add_tags = true in [model]), and train it on a cot corpus first"


@dataclass
class Student:
    """A model with the tokenizer that belongs to it."""

    model: Any
    vocabulary: Vocabulary
    where: str
    """The folder or id that it was loaded from; of one from scratch its name."""
    processing: dict[str, str] = field(default_factory=dict[str, str])
    """Files about pixels that came with it, as they are."""

    @cached_property
    def layout(self) -> Layout:
        return Layout(self.vocabulary)

    @property
    def device(self) -> torch.device:
        return self.model.device

    def save(self, folder: Path) -> None:
        """As a folder that `load` takes, or anyone's `from_pretrained`."""
        self.model.save_pretrained(folder)
        self.save_beside(folder)

    def save_beside(self, folder: Path) -> None:
        """All but the weights."""
        self.vocabulary.tokenizer.save_pretrained(folder)
        files = self.processing or {name: json.dumps(told, indent=1) for name, told in OWN.items()}
        for name, text in files.items():
            (folder / name).write_text(text, "utf-8")


def load(place: str, dtype: torch.dtype = torch.float32, device: str = "cpu", *, add_missing_tags: bool = False) -> Student:
    """A Qwen3-VL with the four tags as tokens. Without them it is refused, unless they are to be added."""
    config, vocabulary = _read(place)
    processing = _processing(place)
    missing = vocabulary.without_tags()
    if not add_missing_tags:
        _refuse_without_tags(vocabulary)
    # safetensors only: whoever hands out a checkpoint should not run code here
    model: Any = Qwen3VLForConditionalGeneration.from_pretrained(place, config=config, dtype=dtype, use_safetensors=True)
    use(model)
    if len(vocabulary) > config.text_config.vocab_size and not missing:
        raise InputError(
            f"its tokenizer knows {len(vocabulary)} tokens, its model {config.text_config.vocab_size}",
            where=place,
            mend="fetch it again",
        )
    if missing:
        add_tags(model, vocabulary)
    return Student(model.to(device).eval(), vocabulary, place, processing)


def load_vocabulary(place: str) -> Vocabulary:
    """What whoever lets others compute needs of a student: no weights are read. Refused as `load` would."""
    _, vocabulary = _read(place)
    _processing(place)
    _refuse_without_tags(vocabulary)
    return vocabulary


def _read(place: str) -> tuple[Any, Vocabulary]:
    config, tokenizer = _opened(place)
    vocabulary = Vocabulary(tokenizer, where=place)
    for token in NEEDED:
        vocabulary.id(token)
    return config, vocabulary


def _refuse_without_tags(vocabulary: Vocabulary) -> None:
    missing = vocabulary.without_tags()
    if missing:
        raise InputError(f"it doesn't know the tags {' '.join(missing)}", where=vocabulary.where, mend=TAGS_MISSING)


def _opened(place: str) -> tuple[Any, Any]:
    mend = "give a folder with a Qwen3-VL checkpoint, or the id of one on the Hub"
    if ("/" in place and place.startswith((".", "/", "~"))) and not Path(place).is_dir():
        raise InputError("there is no such folder", where=place, mend=mend)
    try:
        config = AutoConfig.from_pretrained(place)
        if config.model_type != KIND:
            raise InputError(f"this is a {config.model_type}, not a Qwen3-VL", where=place, mend=mend)
        return config, AutoTokenizer.from_pretrained(place)
    except (OSError, ValueError) as error:
        raise InputError(f"no checkpoint: {str(error).splitlines()[0]}", where=place, mend=mend) from None


def _processing(place: str) -> dict[str, str]:
    """Files about pixels; refused if they speak of other patches than ours."""
    found: dict[str, str] = {}
    for name in PROCESSING:
        try:
            path = cached_file(
                place, name, _raise_exceptions_for_missing_entries=False, _raise_exceptions_for_connection_errors=False
            )
        except OSError:
            path = None
        if path is None:
            continue
        found[name] = Path(path).read_text("utf-8")
        told: dict[str, Any] = json.loads(found[name])
        for key, value in {**told, **told.get("video_processor", {})}.items():
            if key in EXPECTED and value != EXPECTED[key]:
                mend = "this student can't be used: its patches would not be ours"
                raise InputError(f"{key} is {value}, not {EXPECTED[key]}", where=f"{place}/{name}", mend=mend)
    return found
