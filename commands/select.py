"""Selects a corpus: by the recipe's thresholds on the existing scores, or as a trial that writes nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from rich.console import Console

from dmforge.commands.run import view_of_now
from dmforge.curation.contract.stage import AnyStage
from dmforge.curation.engine import run_log
from dmforge.curation.engine.driver import Driver
from dmforge.curation.engine.executors.local_executor import LocalExecutor
from dmforge.curation.io.command_result import Block, CommandResult, TextTable
from dmforge.curation.lake.commits import Lake
from dmforge.curation.lake.partition import IN_ONE
from dmforge.curation.lake.views import LakeView
from dmforge.curation.lifecycle import takedown
from dmforge.curation.workspace_folder import WorkspaceFolder
from dmforge.filters.selection.select_cot import SelectCotConfig
from dmforge.filters.selection.select_rl import SelectRlConfig, TargetRows
from dmforge.filters.selection.selection import RANGE_SUBJECTS, UNDETERMINED, Selection, counts, let_through
from dmforge.filters.selection.what_if import compile_condition
from dmforge.recipe import Recipe, corpus_of, read_recipe
from dmforge.schemas.config import nearest
from dmforge.schemas.errors import InputError
from dmforge.schemas.records import Candidate, Task

REASONS = """
SELECT CASE WHEN status = 'made' THEN NULL ELSE reason END AS told, count(*)
FROM outcomes WHERE stage = $stage GROUP BY told
"""
RANGE_COUNTED = 250_000
"""Candidates that are decided at once where they are only counted: the rows stay in DuckDB."""


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
        sorted_reasons = sorted(
            ((reason, input_count) for reason, input_count in reasons.items() if reason),
            key=lambda reason_and_number: (-reason_and_number[1], reason_and_number[0]),
        )
        undetermined = sum(input_count for reason, input_count in sorted_reasons if reason.startswith(UNDETERMINED))
        rejected = {reason: input_count for reason, input_count in sorted_reasons if not reason.startswith(UNDETERMINED)}
        return Selected(reasons.get(None, 0), rejected, undetermined)

    def as_json(self) -> dict[str, Any]:
        return asdict(self)

    def blocks(self) -> Iterator[Block]:
        rejected_rows = [["rejected", reason, count] for reason, count in self.rejected.items()]
        yield TextTable(
            ["", "reason", "candidates"], [["kept", "", self.kept], *rejected_rows, ["undetermined", "", self.undetermined]]
        )


def select(workspace: WorkspaceFolder, console: Console, command: str, corpus: str) -> Selected:
    """Apply the recipe's thresholds to the existing scores, without requests to teachers."""
    recipe = read_recipe(workspace.require().recipe)
    stage = stage_of(recipe, corpus)
    with workspace.held(command):
        lake = Lake(workspace)
        takedown.finish_forgetting(lake)
        view = view_of_now(lake, recipe)
        earlier_stages = recipe.stages[: recipe.stages.index(stage)]
        pending_by_stage = {earlier_stage.name: view.tally(earlier_stage).pending for earlier_stage in earlier_stages}
        if any(pending_by_stage.values()):
            pending_list = ", ".join(
                f"{pending_count} of {name}" for name, pending_count in pending_by_stage.items() if pending_count
            )
            hint = "dmforge run first; or see with --dry-run what would be kept of what there is"
            raise InputError(
                f"the candidates are not all judged: {pending_list} are pending", where=str(workspace.root), hint=hint
            )
        with run_log.recorded(workspace, command, recipe.resolved()):
            list(Driver(lake, recipe.stages, LocalExecutor(), console).run([stage]))
        reason_counts = LakeView(lake, recipe.stages).cursor(REASONS).execute(REASONS, {"stage": stage.name}).fetchall()
        return Selected.of(dict(reason_counts))


def what_if(workspace: WorkspaceFolder, corpus: str, where: str | None) -> Selected:
    """Count what a selection would keep now. Writes nothing."""
    recipe = read_recipe(workspace.require().recipe)
    stage = stage_of(recipe, corpus)
    if where is not None and not isinstance(stage.config, SelectCotConfig):
        message = f"{corpus!r} holds tasks, and a condition is asked of candidates"
        raise InputError(message, where="CORPUS", hint="give a corpus of candidates, or leave out --where")
    with workspace.reading():
        earlier_stages = recipe.stages[: recipe.stages.index(stage)]
        view = LakeView(Lake(workspace), earlier_stages)
        connection = view.connection.cursor()
        if isinstance(stage.config, SelectRlConfig):
            target_rows, video_ranges = (
                TargetRows(view, teachers_look=stage.config.teachers_look),
                view.ranges(Task, RANGE_SUBJECTS),
            )
            selection = Selection(connection, stage.config.requirements(), video_ranges, tasks_in_range=target_rows.tasks_in)
        elif isinstance(stage.config, SelectCotConfig):
            # a condition is asked once, of all
            video_ranges = view.ranges(Candidate, RANGE_COUNTED) if where is None else IN_ONE
            condition = None if where is None else compile_condition(where)
            selection = Selection(
                connection, stage.config.requirements(), video_ranges, condition, candidates_sql=let_through(view)
            )
        else:
            message = f"{corpus!r} is made by {stage.name!r}, which has no thresholds to be tried"
            raise InputError(message, where="CORPUS", hint="give the corpus of select_cot or of select_rl")
        count_by_reason: Counter[str | None] = Counter()
        for _ in selection.decide_ranges():
            count_by_reason.update(counts(connection))
        return Selected.of(count_by_reason)


def stage_of(recipe: Recipe, corpus: str) -> AnyStage:
    """The stage that makes a corpus."""
    stages_by_corpus = {name: stage for stage in recipe.stages if (name := corpus_of(stage)) is not None}
    if corpus not in stages_by_corpus:
        hint = (
            nearest(corpus, sorted(stages_by_corpus))
            if stages_by_corpus
            else "put a stage into the recipe that selects: select_cot, say"
        )
        raise InputError(f"the recipe makes no corpus {corpus!r}", where="CORPUS", hint=hint)
    return stages_by_corpus[corpus]
