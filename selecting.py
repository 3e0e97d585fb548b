"""What a selection keeps: the recipe's thresholds applied to the scores at hand, or a person's question what if."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from rich.console import Console

from dmforge.curation import runs
from dmforge.curation.executors.local import LocalExecutor
from dmforge.curation.lake import forgetting
from dmforge.curation.lake.commits import Lake
from dmforge.curation.lake.shares import IN_ONE
from dmforge.curation.lake.views import AnyStage, View
from dmforge.curation.runner import Driver
from dmforge.curation.workspace import Workspace
from dmforge.filters.select import SelectCotConfig
from dmforge.filters.select_rl import Aims, SelectRlConfig
from dmforge.filters.selection import RANGE_SUBJECTS, UNDETERMINED, Selection, counts, let_through
from dmforge.filters.what_if import compile_condition
from dmforge.pipeline import view_of_now
from dmforge.recipe import Recipe, corpus_of, read_recipe
from dmforge.schemas.config import nearest
from dmforge.schemas.errors import InputError
from dmforge.schemas.records import Candidate, Task

REASONS = """
SELECT CASE WHEN status = 'made' THEN NULL ELSE reason END AS told, count(*)
FROM outcomes WHERE stage = $stage GROUP BY told
"""
RANGE_COUNTED = 250_000
"""Candidates that are decided at once where they are only counted: they stay in DuckDB."""


@dataclass(frozen=True, slots=True)
class Selected:
    """What a selection keeps, and what becomes of the rest."""

    kept: int
    rejected: dict[str, int]
    """By reason, the commonest first."""
    undetermined: int
    """What the scores at hand can't decide: a run tops them up."""

    @staticmethod
    def of(reasons: Mapping[str | None, int]) -> Selected:
        """From how many have which reason; None is kept."""
        told = sorted(((reason, number) for reason, number in reasons.items() if reason), key=lambda one: (-one[1], one[0]))
        open_ = sum(number for reason, number in told if reason.startswith(UNDETERMINED))
        rejected = {reason: number for reason, number in told if not reason.startswith(UNDETERMINED)}
        return Selected(reasons.get(None, 0), rejected, open_)


def select(workspace: Workspace, console: Console, command: str, corpus: str) -> Selected:
    """Apply the recipe's thresholds to the scores at hand, asking nobody anything."""
    recipe = read_recipe(workspace.require().recipe)
    stage = stage_of(recipe, corpus)
    with workspace.held(command):
        lake = Lake(workspace)
        forgetting.finish_forgetting(lake)
        view = view_of_now(lake, recipe)
        earlier = recipe.stages[: recipe.stages.index(stage)]
        waiting = {s.name: view.tally(s).pending for s in earlier}
        if any(waiting.values()):
            told = ", ".join(f"{number} of {name}" for name, number in waiting.items() if number)
            mend = "dmforge run first; or see with --dry-run what would be kept of what there is"
            raise InputError(f"the candidates are not all judged: {told} are pending", where=str(workspace.root), mend=mend)
        with runs.recorded(workspace, command, recipe.resolved()):
            list(Driver(lake, recipe.stages, LocalExecutor(), console).run([stage]))
        told = View(lake, recipe.stages).cursor(REASONS).execute(REASONS, {"stage": stage.name}).fetchall()
        return Selected.of(dict(told))


def what_if(workspace: Workspace, corpus: str, where: str | None) -> Selected:
    """What a selection would keep of what there is now. Writes nothing."""
    recipe = read_recipe(workspace.require().recipe)
    stage = stage_of(recipe, corpus)
    if where is not None and not isinstance(stage.config, SelectCotConfig):
        told = f"{corpus!r} holds tasks, and a condition is asked of candidates"
        raise InputError(told, where="CORPUS", mend="give a corpus of candidates, or leave out --where")
    with workspace.reading():
        before = recipe.stages[: recipe.stages.index(stage)]
        view = View(Lake(workspace), before)
        connection = view.connection.cursor()
        if isinstance(stage.config, SelectRlConfig):
            aims, ranges = Aims(view, teachers_look=stage.config.teachers_look), view.ranges(Task, RANGE_SUBJECTS)
            selection = Selection(connection, stage.config.requirements(), ranges, tasks_in_range=aims.tasks_in)
        elif isinstance(stage.config, SelectCotConfig):
            # a condition is asked once, of all
            ranges = view.ranges(Candidate, RANGE_COUNTED) if where is None else IN_ONE
            condition = None if where is None else compile_condition(where)
            selection = Selection(connection, stage.config.requirements(), ranges, condition, candidates_sql=let_through(view))
        else:
            told = f"{corpus!r} is made by {stage.name!r}, which has no thresholds to be tried"
            raise InputError(told, where="CORPUS", mend="give the corpus of select_cot or of select_rl")
        reasons: Counter[str | None] = Counter()
        for _ in selection.decide_ranges():
            reasons.update(counts(connection))
        return Selected.of(reasons)


def stage_of(recipe: Recipe, corpus: str) -> AnyStage:
    """The stage that makes a corpus."""
    found = {name: s for s in recipe.stages if (name := corpus_of(s)) is not None}
    if corpus not in found:
        mend = nearest(corpus, sorted(found)) if found else "put a stage into the recipe that selects: select_cot, say"
        raise InputError(f"the recipe makes no corpus {corpus!r}", where="CORPUS", mend=mend)
    return found[corpus]
