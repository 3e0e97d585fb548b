"""The videos that are worked through to the end, on which a corpus can be selected and packed: all of them, or a pilot's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from dmforge.commands.standing import view_of_now
from dmforge.curation.contract.stage import AnyStage
from dmforge.curation.engine import run_log
from dmforge.curation.io.terminal import Terminal
from dmforge.curation.lake.commits import Lake
from dmforge.curation.lake.views import LakeView
from dmforge.recipe import Recipe
from dmforge.schemas.ids import Id


@dataclass(frozen=True, slots=True)
class JudgedPart:
    """A part of the videos about which some stages have nothing left to do."""

    last_video: Id | None
    """The last video of a pilot; None where the part is all videos, or none."""
    pending: Mapping[str, int]
    """By stage, the inputs that wait in the whole workspace."""

    @property
    def exists(self) -> bool:
        return self.last_video is not None or not self.pending

    def pending_text(self) -> str:
        return ", ".join(f"{count} of {stage_name}" for stage_name, count in self.pending.items())

    def announce(self, console: Terminal, command: str) -> None:
        """Say that only a pilot is worked on, if so."""
        if self.last_video is not None:
            console.print_line(f"{command}: of the pilot's videos alone; of the others {self.pending_text()} are pending")


def judged_part(lake: Lake, recipe: Recipe, stages: Sequence[AnyStage]) -> JudgedPart:
    """All videos where these stages have nothing pending, else those of the largest pilot about which they have nothing."""
    pending_by_stage = _pending(view_of_now(lake, recipe), stages)
    if not pending_by_stage:
        return JudgedPart(None, pending_by_stage)
    pilot_videos = (
        last_video
        for last_video in run_log.pilots(lake.workspace)
        if not _pending(LakeView(lake, recipe.stages, last_video=last_video), stages)
    )
    return JudgedPart(next(pilot_videos, None), pending_by_stage)


def _pending(view: LakeView, stages: Sequence[AnyStage]) -> dict[str, int]:
    pending_by_stage = {stage.name: view.tally(stage).pending for stage in stages}
    return {stage_name: pending_count for stage_name, pending_count in pending_by_stage.items() if pending_count}
