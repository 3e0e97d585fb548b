"""Adds the tags to a checkpoint as tokens, whose embeddings begin near the meaning that they will have.

They are added as ordinary tokens: special ones would be dropped where a text is decoded without special tokens. A row
begins as the mean of the rows of words that say what the tag is for; a random one would first have to be learnt to be
told from all others.
"""

from __future__ import annotations

from typing import Any

import torch

from dmforge.generators.student.vocabulary import Vocabulary
from dmforge.schemas.tags import CLOSE, OPEN

MEANING = {
    OPEN["think"]: "begin thinking step by step",
    CLOSE["think"]: "end thinking, done",
    OPEN["span"]: "begin time window from start to end seconds",
    CLOSE["span"]: "end time window seconds",
    OPEN["fps"]: "begin frames per second rate",
    CLOSE["fps"]: "end frames per second, look at video",
    OPEN["answer"]: "begin final answer",
    CLOSE["answer"]: "end final answer",
}
ROWS = 64
"""An embedding that has to grow grows to a multiple of this: kernels are faster on round numbers."""


def add_tags(model: Any, vocabulary: Vocabulary) -> list[str]:
    """Add the tags that are missing, and return them. A tag that is one token already keeps its row."""
    missing_tags = vocabulary.without_tags()
    meaning_ids = {tag: vocabulary.encode(MEANING[tag]) for tag in missing_tags}
    vocabulary.tokenizer.add_tokens(missing_tags, special_tokens=False)
    give_rows(model, vocabulary)
    with torch.no_grad():
        for weight_matrix in _matrices(model):
            for missing_tag, meaning_token_ids in meaning_ids.items():
                weight_matrix[vocabulary.id(missing_tag)] = (
                    weight_matrix[meaning_token_ids].float().mean(0).to(weight_matrix.dtype)
                )
    return missing_tags


def give_rows(model: Any, vocabulary: Vocabulary) -> None:
    """Let embeddings and head grow where the vocabulary is larger than they are. New rows are 0, whatever they will be."""
    known_rows = model.get_input_embeddings().weight.shape[0]
    if len(vocabulary) <= known_rows:
        return
    model.resize_token_embeddings(len(vocabulary), pad_to_multiple_of=ROWS, mean_resizing=False)
    with torch.no_grad():
        for weight_matrix in _matrices(model):
            weight_matrix[known_rows:] = 0


def _matrices(model: Any) -> list[torch.Tensor]:
    """The matrices with a row for each token: one where the head is tied to the embeddings."""
    embeddings, head = model.get_input_embeddings().weight, model.get_output_embeddings().weight
    return [embeddings] if model.config.tie_word_embeddings else [embeddings, head]
