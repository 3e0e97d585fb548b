"""How a training ended: its last checkpoint, and the last line of its log."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dmforge.curation.io.command_result import Block, CommandResult


@dataclass(frozen=True, slots=True)
class TrainingResult(CommandResult):
    """The result of a training by SFT or SD-GRPO."""

    checkpoint: Path
    steps: int
    seconds: float
    log: Mapping[str, float]
    """The last line of the log."""
    best: tuple[Path, float] | None = None
    """The best checkpoint, and what was measured of it on held-out samples."""
    stopped_by: str = ""
    """The signal that stopped it before its last step; empty where none did."""

    @property
    def loss(self) -> float:
        return self.log["loss"]

    def as_json(self) -> dict[str, Any]:
        metrics = {**self.log, "steps": self.steps, "seconds": self.seconds}
        best = {"best_checkpoint": str(self.best[0])} if self.best else {}
        stopped = {"stopped_by": self.stopped_by} if self.stopped_by else {}
        return {"metrics": metrics, "checkpoint": str(self.checkpoint), **best, **stopped}

    def blocks(self) -> Iterator[Block]:
        exact = f", {self.log['exact']:.1%} of the held-out samples known" if "exact" in self.log else ""
        yield f"{self.checkpoint}: {self.steps} steps in {self.seconds:.0f} s, loss {self.loss:.4f}{exact}"
        if self.stopped_by:
            yield f"stopped by {self.stopped_by}, with a checkpoint"
        if self.best:
            yield f"{self.best[0]}: the best on held-out samples, {self.best[1]:.3f}"
