"""Tasks whose file gives a target become samples for reinforcement: what a corpus said that was published so."""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import Field

from dmforge.curation.lake.views import View
from dmforge.curation.settled import Key, Made, Origin, Rejected, Result, Settled, settle
from dmforge.curation.sources.importing import target_of
from dmforge.curation.stage import Collective, StageConfig
from dmforge.schemas.columns import from_arrow
from dmforge.schemas.records import Sample, Task


class SelectRlConfig(StageConfig):
    """Where samples go."""

    corpus: str = Field("rl", pattern="^[a-z][a-z0-9_-]*$")
    """The name of the corpus."""


class SelectRl(Collective[Task, Sample]):
    """Tasks with a target to samples. The window is gold, the density whatever the file's author took it from."""

    name, version = "select_rl", 1
    config: SelectRlConfig

    def process(self, view: View, origin: Origin) -> Iterator[Settled]:
        tasks = sorted(from_arrow(Task, view.table(view.rows(Task).sql)), key=lambda task: (task.video, task.id))
        keys = [Key(task.id, task.video) for task in tasks]
        yield settle(origin, keys, [self._result(task) for task in tasks], self.makes)

    def _result(self, task: Task) -> Result:
        target = target_of(task)
        if target is None:
            return Rejected("no target")
        return Made((Sample(task.video, self.config.corpus, task.id, None, target, "teacher"),))
