"""Starts browse: every task and candidate of a workspace in a browser on this machine."""

from __future__ import annotations

from collections.abc import Callable

from dmforge.commands.audit import extra_tables
from dmforge.commands.near_question_tables import VECTORS
from dmforge.commands.report import require_report_extra, thresholds
from dmforge.commands.review import require_human_stage
from dmforge.commands.standing import readers_view
from dmforge.curation.io import machine
from dmforge.curation.lake.commits import Lake
from dmforge.curation.sources.reviews import checked_name
from dmforge.curation.workspace_folder import WorkspaceFolder
from dmforge.recipe import read_recipe
from dmforge.schemas.errors import InputError

LINE_EVERY_S = 5.0
"""Seconds between two lines about one step."""


def browse(
    workspace: WorkspaceFolder, reviewer: str | None, port: int, say: Callable[[str], None], announce: Callable[[str], None]
) -> None:
    """Read the index, then serve until Ctrl-C. The address is announced once it can be opened."""
    if reviewer is not None:
        checked_name(reviewer, "--as")
    recipe = read_recipe(workspace.require().recipe)
    require_report_extra()
    if reviewer is not None:
        require_human_stage(workspace, recipe)
    from dmforge.curation.browse.browse_server import BrowseServer
    from dmforge.curation.browse.question_map import MapReader
    from dmforge.curation.browse.read_index import read_index
    from dmforge.curation.browse.row_cards import RowCards
    from dmforge.curation.browse.row_selection import RowSelection
    from dmforge.curation.local_pages import loopback
    from dmforge.curation.report.pictures import Pictures

    listening_socket = loopback.listen(port)  # a port that is taken is said before anything is read
    steps = ReadingSteps(say)
    with workspace.reading():
        view, min_scores = readers_view(Lake(workspace), recipe), thresholds(recipe)
        stage_names = [stage.name for stage in recipe.stages]
        index = read_index(view, stage_names, min_scores, extra_tables(workspace, recipe), steps.follow)
        if not len(index):
            hint = "import or make tasks first: dmforge status says where the stages stand"
            raise InputError("there is no task in the lake", where=str(workspace.root), hint=hint)
        steps.end(f"{len(index):,} rows in {index.size_bytes / 1e6:,.0f} MB")
        selection = RowSelection(index, MapReader(view, VECTORS, index))
        row_cards = RowCards(view, index, Pictures(workspace), min_scores)
        loopback.serve(
            listening_socket,
            lambda guard: BrowseServer(workspace, selection, row_cards, reviewer, recipe.name, guard).app,
            announce,
        )


class ReadingSteps:
    """Says which step of reading goes on, how far it is, and how long all of them took."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say, self._step = say, ""
        self._began_s = machine.current.monotonic()
        self._last_line_s = self._began_s

    def follow(self, step: str, done: int, total: int) -> None:
        """A step began or went on."""
        now_s = machine.current.monotonic()
        if step != self._step:
            self._say(f"reading {step}" + (f" of {total:,}" if total > 1 else ""))
        elif now_s - self._last_line_s > LINE_EVERY_S and done < total:
            self._say(f"reading {step}: {done:,} of {total:,}")
        else:
            return
        self._step, self._last_line_s = step, now_s

    def end(self, summary: str) -> None:
        """Everything is read."""
        self._say(f"read {summary}, {machine.current.monotonic() - self._began_s:.1f} s")
