"""The lake as its readers see it: while a Collective waits for the rest of the videos, what it made of a pilot stands.

A Collective's variant holds the set of rows that it saw. As soon as there are more videos than those of a pilot, nothing has
been settled under the new set: what the pilot selected and packed is there, and no question would be answered with it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property

import pyarrow as pa

from dmforge.curation.contract.collective import Collective
from dmforge.curation.contract.stage import AnyStage, Gate
from dmforge.curation.lake.commits import Lake
from dmforge.curation.lake.views import LakeView
from dmforge.schemas.ids import Id


class ReadersView(LakeView):
    """A view for those who only read, and for plans; a run has to know what is pending."""

    def __init__(
        self,
        lake: Lake,
        stages: Sequence[AnyStage],
        pilots: Sequence[Id],
        scanned_tables: Mapping[str, pa.Table] | None = None,
    ) -> None:
        """`pilots` holds the last video of each pilot, the largest pilot first."""
        super().__init__(lake, stages, scanned_tables=scanned_tables)
        self._lake, self._pilots = lake, pilots

    def variant(self, stage: AnyStage) -> Id:
        is_known = stage.name in self._variants
        variant = super().variant(stage)
        if not is_known and isinstance(stage, Collective) and not self._lake.of(stage.name, variant):
            pilot_variants = (pilot_view.variant(stage) for pilot_view in self._pilot_views)
            variant = next(
                (pilot_variant for pilot_variant in pilot_variants if self._lake.of(stage.name, pilot_variant)), variant
            )
            self._variants[stage.name] = variant
        return variant

    def passing_share(self, gate: AnyStage) -> float:
        """The share of its inputs that a gate let through so far; all of them where nothing is known."""
        assert isinstance(gate, Gate)
        settled_inputs = sum(commit.inputs for commit in self._commits(gate))
        if not settled_inputs:
            return 1.0
        passed_count_sql = f"SELECT count(*) AS passed FROM ({gate.passing(self._made_by(gate, gate.makes[0]).sql)})"
        return self.table(passed_count_sql).column("passed")[0].as_py() / settled_inputs

    @cached_property
    def _pilot_views(self) -> list[LakeView]:
        return [LakeView(self._lake, self.stages, last_video=last_video) for last_video in self._pilots]
