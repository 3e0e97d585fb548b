"""Loads students from Hugging Face folders or ids, and saves them as such folders."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoTokenizer
from transformers.utils.hub import cached_file

from dmforge.generators.student import adapters
from dmforge.generators.student.attention import use_attention
from dmforge.generators.student.checkpoint_files import is_adapted
from dmforge.generators.student.families import NO_STUDENT, family_of
from dmforge.generators.student.patchify import FRAMES, MERGE, PATCH
from dmforge.generators.student.tag_tokens import add_tags, give_rows
from dmforge.generators.student.token_layout import TokenLayout
from dmforge.generators.student.vocabulary import NEEDED, Vocabulary
from dmforge.schemas.dialects.dialect_name import DialectName
from dmforge.schemas.dialects.known_dialects import DIALECTS
from dmforge.schemas.errors import InputError, first_line

PROCESSING = ("preprocessor_config.json", "video_preprocessor_config.json", "processor_config.json")
"""Files in a checkpoint about the processing of pixels. We don't need them; but AutoProcessor does."""
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
"""The same files as Qwen3-VL checkpoints have them. A server asks for the one about images even if it is sent none."""
TAGS_MISSING = "load it with tags added (add_tags = true in [model]), and train it on a cot corpus first"


@dataclass
class Student:
    """A model with the tokenizer that belongs to it."""

    model: Any
    vocabulary: Vocabulary
    where: str
    """The folder or id that it was loaded from; the name of one that was made from scratch."""
    processing: dict[str, str] = field(default_factory=dict[str, str])
    """Text of the checkpoint's files about pixel processing, by file name."""

    @cached_property
    def layout(self) -> TokenLayout:
        return TokenLayout(self.vocabulary)

    @property
    def device(self) -> torch.device:
        return self.model.device

    def save(self, folder: Path) -> None:
        """Write a folder that `load` and any `from_pretrained` can load."""
        self.model.save_pretrained(folder)
        self.save_all_but_weights(folder)

    def save_all_but_weights(self, folder: Path) -> None:
        """Write tokenizer and pixel processing into a folder, without weights."""
        self.vocabulary.tokenizer.save_pretrained(folder)
        text_by_file_name = self.processing or {
            file_name: json.dumps(own_settings, indent=1) for file_name, own_settings in OWN.items()
        }
        for file_name, file_text in text_by_file_name.items():
            (folder / file_name).write_text(file_text, "utf-8")


def load(
    checkpoint: str,
    dtype: torch.dtype = torch.float32,
    device: str = "cpu",
    *,
    add_missing_tags: bool = False,
    dialect: DialectName = "span",
) -> Student:
    """Load a Qwen3-VL that writes its looks in a dialect. In `span` it has to have the four tags as tokens, unless they are to
    be added. In others they are plain text, and its chat template has to tell of the dialect's functions. Adapters are merged
    into their base."""
    base = adapters.base_of(Path(checkpoint)) if is_adapted(checkpoint) else checkpoint
    config, vocabulary = _read(checkpoint, base, dialect)
    processing_texts = _read_processing(checkpoint)
    missing_tags = vocabulary.without_tags() if add_missing_tags else []
    if not add_missing_tags:
        _refuse_without_tags(vocabulary)
    # safetensors only: a checkpoint from elsewhere must not run code here
    model: Any = family_of(config, checkpoint).from_pretrained(base, config=config, dtype=dtype, use_safetensors=True)
    use_attention(model)
    if base != checkpoint:
        give_rows(model, vocabulary)
        model = adapters.merge(model, Path(checkpoint))
    elif len(vocabulary) > config.text_config.vocab_size and not missing_tags:
        raise InputError(
            f"the tokenizer knows {len(vocabulary)} tokens, the model {config.text_config.vocab_size}",
            where=checkpoint,
            hint="fetch it again",
        )
    if missing_tags:
        add_tags(model, vocabulary)
    return Student(model.to(device).eval(), vocabulary, checkpoint, processing_texts)


def load_vocabulary(checkpoint: str, dialect: DialectName = "span") -> Vocabulary:
    """The vocabulary of a student, without its weights; a checkpoint that `load` would refuse is refused here, too."""
    _, vocabulary = describe(checkpoint, dialect)
    _read_processing(checkpoint)
    return vocabulary


def describe(checkpoint: str, dialect: DialectName = "span", *, add_missing_tags: bool = False) -> tuple[Any, Vocabulary]:
    """The configuration of a student and its vocabulary, with the tags; its weights aren't touched."""
    base = adapters.base_of(Path(checkpoint)) if is_adapted(checkpoint) else checkpoint
    config, vocabulary = _read(checkpoint, base, dialect)
    if add_missing_tags:
        vocabulary.tokenizer.add_tokens(vocabulary.without_tags(), special_tokens=False)
    _refuse_without_tags(vocabulary)
    return config, vocabulary


def _read(checkpoint: str, base: str, dialect: DialectName) -> tuple[Any, Vocabulary]:
    """The configuration of the base, and the vocabulary, which adapters have beside them."""
    config, tokenizer = _open_config(base), _open_tokenizer(checkpoint)
    vocabulary = Vocabulary(tokenizer, checkpoint, dialect)
    for needed_token in NEEDED:
        vocabulary.id(needed_token)
    if DIALECTS[dialect].tools:
        _ = vocabulary.frame  # a template that tells of no functions is refused here, not by a worker with the first batch
    return config, vocabulary


def _refuse_without_tags(vocabulary: Vocabulary) -> None:
    if vocabulary.dialect != "span":
        return
    missing_tags = vocabulary.without_tags()
    if missing_tags:
        raise InputError(
            f"the tokenizer doesn't know the tags {' '.join(missing_tags)}", where=vocabulary.where, hint=TAGS_MISSING
        )


def _open_config(checkpoint: str) -> Any:
    is_id = checkpoint.count("/") == 1 and not checkpoint.startswith((".", "/", "~"))
    if not is_id and not Path(checkpoint).is_dir():
        raise InputError("there is no such folder", where=checkpoint, hint=NO_STUDENT)
    try:
        config = AutoConfig.from_pretrained(checkpoint)
    except (OSError, ValueError) as error:
        raise InputError(f"no checkpoint: {first_line(error)}", where=checkpoint, hint=NO_STUDENT) from None
    family_of(config, checkpoint)
    return config


def _open_tokenizer(checkpoint: str) -> Any:
    try:
        return AutoTokenizer.from_pretrained(checkpoint)
    except (OSError, ValueError) as error:
        raise InputError(f"no checkpoint: {first_line(error)}", where=checkpoint, hint=NO_STUDENT) from None


def _read_processing(checkpoint: str) -> dict[str, str]:
    """The checkpoint's files about pixel processing; refused if they cut other patches than we do."""
    text_by_file_name: dict[str, str] = {}
    for file_name in PROCESSING:
        try:
            file_path = cached_file(
                checkpoint,
                file_name,
                _raise_exceptions_for_missing_entries=False,
                _raise_exceptions_for_connection_errors=False,
            )
        except OSError:
            file_path = None
        if file_path is None:
            continue
        text_by_file_name[file_name] = Path(file_path).read_text("utf-8")
        processing_settings: dict[str, Any] = json.loads(text_by_file_name[file_name])
        for setting_name, setting_value in {**processing_settings, **processing_settings.get("video_processor", {})}.items():
            if setting_name in EXPECTED and setting_value != EXPECTED[setting_name]:
                hint = "this student can't be used: its patches would not be ours"
                raise InputError(
                    f"{setting_name} is {setting_value}, not {EXPECTED[setting_name]}",
                    where=f"{checkpoint}/{file_name}",
                    hint=hint,
                )
    return text_by_file_name
