"""Selects a corpus: by the recipe's thresholds on the existing scores, or as a trial that writes nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from dmforge.commands.judged_part import judged_part
from dmforge.curation.contract.stage import AnyStage
from dmforge.curation.engine import run_log
from dmforge.curation.engine.driver import Driver
from dmforge.curation.engine.executors.local_executor import LocalExecutor
from dmforge.curation.io.command_result import Block, CommandResult, TextTable
from dmforge.curation.io.terminal import Terminal
from dmforge.curation.lake.commits import Lake
from dmforge.curation.lake.partition import IN_ONE
from dmforge.curation.lake.readers_view import ReadersView
from dmforge.curation.lake.views import LakeView
from dmforge.curation.lifecycle import takedown
from dmforge.curation.workspace_folder import WorkspaceFolder
from dmforge.filters.selection.select_cot import SelectCotConfig
from dmforge.filters.selection.select_rl import SelectRlConfig, TargetRows
from dmforge.filters.selection.selection import RANGE_COUNTED, RANGE_SUBJECTS, UNDETERMINED, Selection, counts, let_through
from dmforge.filters.selection.sweep import Sweep
from dmforge.filters.selection.sweep import sweep as swept
from dmforge.filters.selection.what_if import compile_condition
from dmforge.recipe import Recipe, corpus_of, read_recipe
from dmforge.schemas.config import nearest
from dmforge.schemas.errors import InputError
from dmforge.schemas.records import Candidate, Task

REASONS = """
SELECT CASE WHEN status = 'made' THEN NULL ELSE reason END AS told, count(*)
FROM outcomes WHERE stage = $stage GROUP BY told
"""
BAR = 40
"""Characters of the longest bar."""


@dataclass(frozen=True, slots=True)
class Selected(CommandResult):
    """Counts of a selection: kept, rejected and undetermined inputs."""

    kept: int
    rejected: dict[str, int]
    """By reason, the commonest first."""
    undetermined: int
    """Inputs that the existing scores can't decide: a run adds more."""

    @staticmethod
    def of(reasons: Mapping[str | None, int]) -> Selected:
        """Build the counts from the number of inputs by reason; None means kept."""
        by_count = sorted(
            ((reason, subject_count) for reason, subject_count in reasons.items() if reason),
            key=lambda reason_and_number: (-reason_and_number[1], reason_and_number[0]),
        )
        undetermined_count = sum(subject_count for reason, subject_count in by_count if reason.startswith(UNDETERMINED))
        count_by_rejection = {
            reason: subject_count for reason, subject_count in by_count if not reason.startswith(UNDETERMINED)
        }
        return Selected(reasons.get(None, 0), count_by_rejection, undetermined_count)

    def as_json(self) -> dict[str, Any]:
        return asdict(self)

    def blocks(self) -> Iterator[Block]:
        rejected_rows = [["rejected", reason, count] for reason, count in self.rejected.items()]
        yield TextTable(
            ["", "reason", "candidates"], [["kept", "", self.kept], *rejected_rows, ["undetermined", "", self.undetermined]]
        )


@dataclass(frozen=True, slots=True)
class SweepResult(CommandResult):
    """The curve of a threshold, for people and machines."""

    curve: Sweep

    def as_json(self) -> dict[str, Any]:
        return self.curve.as_json()

    def blocks(self) -> Iterator[Block]:
        curve = self.curve
        most = max(1, *(step.kept for step in curve.steps))
        word = "at least" if curve.bound == "min" else "at most"
        rows = [
            [f"{step.at:g}", step.kept, "#" * round(BAR * step.kept / most), "now" if step.at == curve.now else ""]
            for step in curve.steps
        ]
        yield TextTable([f"{curve.filter}, {word}", "kept", "", ""], rows)


def select(workspace: WorkspaceFolder, console: Terminal, command: str, corpus: str) -> Selected:
    """Apply the recipe's thresholds to the existing scores, without requests to teachers."""
    recipe = read_recipe(workspace.require().recipe)
    stage = stage_of(recipe, corpus)
    with workspace.held(command):
        lake = Lake(workspace)
        takedown.finish_forgetting(lake)
        judged_so_far = judged_part(lake, recipe, recipe.stages[: recipe.stages.index(stage)])
        if not judged_so_far.exists:
            hint = "dmforge run first; or see with --dry-run what would be kept of what there is"
            raise InputError(
                f"the candidates are not all judged: {judged_so_far.pending_text()} are pending",
                where=str(workspace.root),
                hint=hint,
            )
        judged_so_far.announce(console, "select")
        driver = Driver(lake, recipe.stages, LocalExecutor(), console, last_video=judged_so_far.last_video)
        with run_log.recorded(workspace, command, recipe.resolved()):
            list(driver.run([stage]))
        view = LakeView(lake, recipe.stages, last_video=judged_so_far.last_video)
        reason_counts = view.cursor(REASONS).execute(REASONS, {"stage": stage.name}).fetchall()
        return Selected.of(dict(reason_counts))


def what_if(workspace: WorkspaceFolder, corpus: str, where: str | None) -> Selected:
    """Count what a selection would keep now. Writes nothing."""
    recipe = read_recipe(workspace.require().recipe)
    stage = stage_of(recipe, corpus)
    if where is not None and not isinstance(stage.config, SelectCotConfig):
        message = f"{corpus!r} holds tasks, and a condition is asked of candidates"
        raise InputError(message, where="CORPUS", hint="give a corpus of candidates, or leave out --where")
    with workspace.reading():
        selection = _trial(workspace, recipe, stage, corpus, where)
        count_by_reason: Counter[str | None] = Counter()
        for _ in selection.decide_ranges():
            count_by_reason.update(counts(selection.connection))
        return Selected.of(count_by_reason)


def sweep(workspace: WorkspaceFolder, corpus: str, filter_name: str) -> SweepResult:
    """What each value of a filter's threshold would keep, all others as the recipe has them. Writes nothing."""
    recipe = read_recipe(workspace.require().recipe)
    stage = stage_of(recipe, corpus)
    with workspace.reading():
        curve = swept(_trial(workspace, recipe, stage, corpus, None), filter_name)
    if not curve.steps:
        measured = sorted({measure for each in recipe.stages for measure in each.measures})
        message = f"nothing was measured by {filter_name!r}"
        raise InputError(message, where="--sweep", hint=nearest(filter_name, measured) if measured else "dmforge run first")
    return SweepResult(curve)


def _trial(workspace: WorkspaceFolder, recipe: Recipe, stage: AnyStage, corpus: str, where: str | None) -> Selection:
    """The selection of a stage over the scores at hand."""
    earlier_stages = recipe.stages[: recipe.stages.index(stage)]
    view = ReadersView(Lake(workspace), earlier_stages, run_log.pilots(workspace))
    connection = view.connection.cursor()
    if isinstance(stage.config, SelectRlConfig):
        target_rows, video_ranges = TargetRows(view, stage.config), view.ranges(Task, RANGE_SUBJECTS)
        return Selection(connection, stage.config.requirements(), video_ranges, tasks_in_range=target_rows.tasks_in)
    if not isinstance(stage.config, SelectCotConfig):
        message = f"{corpus!r} is made by {stage.name!r}, which has no thresholds to be tried"
        raise InputError(message, where="CORPUS", hint="give the corpus of select_cot or of select_rl")
    # a condition is asked once, of all
    video_ranges = view.ranges(Candidate, RANGE_COUNTED) if where is None else IN_ONE
    condition = None if where is None else compile_condition(where)
    return Selection(connection, stage.config.requirements(), video_ranges, condition, candidates_sql=let_through(view))


def stage_of(recipe: Recipe, corpus: str) -> AnyStage:
    """The stage that makes a corpus."""
    stages_by_corpus = {corpus_name: stage for stage in recipe.stages if (corpus_name := corpus_of(stage)) is not None}
    if corpus not in stages_by_corpus:
        hint = (
            nearest(corpus, sorted(stages_by_corpus))
            if stages_by_corpus
            else "put a stage into the recipe that selects: select_cot, say"
        )
        raise InputError(f"the recipe makes no corpus {corpus!r}", where="CORPUS", hint=hint)
    return stages_by_corpus[corpus]
