"""PyPI's torchvision is built for CUDA; beside a CPU torch its compiled half can't be loaded, and without it the package
declines to be imported at all, since it then speaks of operators that nobody declared.

vLLM needs the other half, which is Python: Hugging Face's video processor. So the two operators are declared just before
torchvision is imported. They still can't be called, and nothing here calls them. Only the environment of `make test-vllm` has
this: a .pth file there imports it at every start, before anything else is.
"""

from __future__ import annotations

import importlib.abc
import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

DECLARED = ("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",)
DECLARED += ("qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",)


class DeclareFirst(importlib.abc.MetaPathFinder):
    """Finds nothing; sees that torchvision is about to be imported."""

    library: Any = None

    def find_spec(self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        if fullname == "torchvision" and self.library is None:
            import torch

            self.library = torch.library.Library("torchvision", "DEF")  # declared for as long as this lives
            for operator in DECLARED:
                self.library.define(operator)
        return None


sys.meta_path.insert(0, DeclareFirst())
