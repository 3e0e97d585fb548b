"""A workspace in Python: every command on one, with typed results. Each method imports what it needs: a start costs no more."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dmforge.curation.workspace_folder import WorkspaceFolder
from dmforge.schemas.errors import InputError
from dmforge.schemas.record_fields import UNKNOWN

if TYPE_CHECKING:
    import pyarrow as pa

    from dmforge.api.results import ExportFolder, LakeDigest, PackedFolder, Plan, RecipeList, ReportFile, ViewsFile
    from dmforge.api.stage_table import StageTable
    from dmforge.commands.audit import Why
    from dmforge.commands.caller import Caller
    from dmforge.commands.full_run import RunSettings
    from dmforge.commands.import_counts import Imported
    from dmforge.commands.intake import Ingested
    from dmforge.commands.select import Selected, SweepResult
    from dmforge.commands.upgrade import Upgraded
    from dmforge.curation.audit.corpus_checks import CorpusVerdict
    from dmforge.curation.audit.query import QueryResult
    from dmforge.curation.engine.driver import StageReport
    from dmforge.curation.lifecycle.merge import MergeCounts
    from dmforge.curation.lifecycle.takedown import TakenDown
    from dmforge.curation.shards.corpus import Corpus
    from dmforge.curation.soundness.workspace_defects import WorkspaceReport
    from dmforge.schemas.dialects.dialect_name import DialectName

Place = str | Path


def list_recipes() -> RecipeList:
    """The recipes that a workspace can begin with."""
    from dmforge.api.results import RecipeList
    from dmforge.commands import run as run_commands

    return RecipeList(tuple(run_commands.recipes()))


def init(folder: Place, recipe: str) -> Workspace:
    """Make a workspace from a recipe."""
    from dmforge.commands import run as run_commands

    run_commands.init(Path(folder), recipe)
    return Workspace(folder)


class Workspace:
    """A workspace: a recipe, and the lake that it makes. Reading methods change nothing, also while a run goes on."""

    def __init__(self, path: Place = ".") -> None:
        self.path = Path(path)
        self.folder = WorkspaceFolder(self.path)
        self._caller: Caller | None = None

    @classmethod
    def of(cls, path: Path, caller: Caller) -> Workspace:
        """The workspace of a command line, which says for itself where progress goes."""
        workspace = cls(path)
        workspace._caller = caller
        return workspace

    def __repr__(self) -> str:
        return f"Workspace({str(self.path)!r})"

    def plan(self) -> Plan:
        """What a run would do and cost."""
        from dmforge.api.results import Plan
        from dmforge.commands import declared_videos
        from dmforge.commands import plan as plan_commands

        waiting_files = declared_videos.to_bring(self.folder)
        return Plan(tuple(plan_commands.plan(self.folder)), waiting_files, tuple(plan_commands.remarks(self.folder)))

    def run(
        self,
        *,
        until: str | None = None,
        videos: int | None = None,
        budget_usd: float | None = None,
        budget_per_run: bool = False,
        retry_quarantined: bool = False,
        retry_rejected: str | None = None,
        progress: bool | Callable[[StageReport], None] = True,
        log: Place | None = None,
    ) -> StageTable:
        """Do what is pending, up to a stage, on so many videos, for so much money. Whatever stops it, the same call goes on.

        The budget bounds what the workspace has spent in all runs; with `budget_per_run`, what this one spends.
        `retry_rejected` names a reason for which inputs were rejected: each is granted one more round of its stage's attempts.
        `progress` prints on stderr; a function is called as each stage ends, and nothing is printed. To the file `log` each
        event is appended as it happens, as a line of JSON.
        """
        from dmforge.commands.full_run import RunSettings
        from dmforge.commands.run_account import SpendingLimits

        limits, log_path = SpendingLimits(budget_usd, budget_per_run), None if log is None else Path(log)
        settings = RunSettings(until, videos, limits, retry_quarantined, retry_rejected, log=log_path)
        call_arguments = {"until": until, "videos": videos, "budget_usd": budget_usd, "budget_per_run": budget_per_run}
        call_arguments |= {"retry_quarantined": retry_quarantined, "retry_rejected": retry_rejected}
        on_stage = None if isinstance(progress, bool) else progress
        return self.run_with(settings, self._called("run", call_arguments, progress is True), on_stage)

    def run_with(
        self, settings: RunSettings, caller: Caller, on_stage: Callable[[StageReport], None] | None = None
    ) -> StageTable:
        """Do what is pending, with the settings that only a command line has: a cluster, or the share of a rank."""
        from dmforge.api.stage_table import StageStatus, StageTable
        from dmforge.commands import standing
        from dmforge.commands.full_run import full_run
        from dmforge.curation.engine import run_log

        finished_run = full_run(self.folder, caller, settings, on_stage)
        stage_statuses = (
            StageStatus(
                stage_report.name,
                stage_report.tally,
                stage_report.deferred,
                stage_report.blocked_by,
                stage_report.is_in_vain,
                stage_report.to_change,
            )
            for stage_report in finished_run.reports
        )
        out = tuple(standing.requests_out(self.folder))
        return StageTable(tuple(stage_statuses), run_log.spent_usd(self.folder), finished_run.spent, out)

    def status(self) -> StageTable:
        """Where each stage stands."""
        from dmforge.api.stage_table import StageStatus, StageTable
        from dmforge.commands import standing
        from dmforge.curation.engine import run_log

        stage_statuses = (StageStatus(stage_name, tally) for stage_name, tally in standing.status(self.folder).items())
        out = tuple(standing.requests_out(self.folder))
        return StageTable(tuple(stage_statuses), run_log.spent_usd(self.folder), requests_out=out)

    def ingest(
        self,
        *places: Place,
        source: str = UNKNOWN,
        licence: str = UNKNOWN,
        terms: str = UNKNOWN,
        namespace: str = UNKNOWN,
        benchmark: bool = False,
    ) -> Ingested:
        """Bring videos into the lake: files, folders and addresses. Of known ones, what is said of them now counts."""
        from dmforge.commands import intake
        from dmforge.curation.sources.source_info import SourceInfo

        source_info = SourceInfo(source, licence, terms, namespace, "benchmark" if benchmark else "train")
        caller = self._called("ingest", {"places": places})
        return intake.ingest(self.folder, caller.console, caller.command, list(map(str, places)), source_info)

    def import_annotations(
        self,
        form: str,
        *files: Place,
        videos: Sequence[Place] = (),
        split: str = "",
        source: str = UNKNOWN,
        licence: str = UNKNOWN,
        terms: str = UNKNOWN,
        namespace: str = UNKNOWN,
        dry_run: bool = False,
    ) -> Imported:
        """Bring annotations into the lake, as tasks about videos; those in the folders `videos` are ingested. `missing` of the
        result names videos that nobody has brought: import the same file again when they are there."""
        from dmforge.commands import intake
        from dmforge.curation.sources.formats import find_format
        from dmforge.curation.sources.source_info import SourceInfo

        annotation_paths, video_folders = list(map(Path, files)), list(map(Path, videos))
        caller = self._called("import_annotations", {"form": form, "files": files})
        if dry_run:
            if not video_folders and find_format(form, "import").role == "train":
                caller.console.print_line("the videos are not looked for; to count those that are missing, too: --videos DIR")
            return intake.dry_import(form, annotation_paths, video_folders, SourceInfo(namespace=namespace))
        source_info = SourceInfo(source, licence, terms, namespace, split=split)
        return intake.import_annotations(
            self.folder, caller.console, caller.command, form, annotation_paths, video_folders, source_info
        )

    def select(self, corpus: str, *, where: str | None = None, dry_run: bool = False) -> Selected:
        """Apply the recipe's thresholds to the scores at hand. A trial, with a further condition in SQL, writes nothing."""
        from dmforge.commands import select as select_commands

        if dry_run or where is not None:
            return select_commands.what_if(self.folder, corpus, where)
        caller = self._called("select", {"corpus": corpus})
        return select_commands.select(self.folder, caller.console, caller.command, corpus)

    def sweep(self, corpus: str, filter_name: str) -> SweepResult:
        """What each value of a filter's threshold would keep, all others as the recipe has them. Writes nothing."""
        from dmforge.commands import select as select_commands

        return select_commands.sweep(self.folder, corpus, filter_name)

    def pack(self, corpus: str, *, partial: bool = False) -> PackedFolder:
        """Pack what is selected as shards, although earlier stages still have work to do if it is `partial`."""
        from dmforge.api.results import PackedFolder
        from dmforge.commands import pack_corpus
        from dmforge.commands.box_remarks import box_remarks

        caller = self._called("pack", {"corpus": corpus, "partial": partial})
        folder, manifest = pack_corpus.pack(self.folder, caller.console, caller.command, corpus, partial)
        return PackedFolder(folder, manifest, tuple(box_remarks(self.folder)))

    def corpora(self) -> dict[str, Corpus]:
        """The packed corpora, by name."""
        from dmforge.commands import pack_corpus
        from dmforge.curation.shards.corpus import Corpus

        return {manifest.corpus: Corpus(folder) for folder, manifest in pack_corpus.corpora(self.folder).items()}

    def export(self, corpus: str, to: str, out: Place | None = None, *, dialect: DialectName | None = None) -> ExportFolder:
        """Write a packed corpus, or shards in a folder or at an address, in the shape that another trainer reads: under
        exports/, or into a folder or to an address. Looks are written in the dialect; without one in the format's own. An
        interrupted export goes on."""
        from dmforge.api.results import ExportFolder
        from dmforge.commands import pack_corpus

        console = self._called("export", {"corpus": corpus, "to": to}).console
        return ExportFolder(*pack_corpus.export(self.folder, console, corpus, to, None if out is None else str(out), dialect))

    def audit(self, name: str = "", *, other: Place | None = None) -> QueryResult:
        """The answer to a named question; without a name, all questions. `other` is what it compares with: a workspace, a
        folder of shards, a set, or a benchmark's file."""
        from dmforge.commands import audit as audit_commands
        from dmforge.curation.audit import output

        if not name:
            return audit_commands.questions()
        if name == audit_commands.CHECKS and other is None:
            return self.checks()
        result_stream = audit_commands.audit_reader(self.folder, name, None if other is None else Path(other))
        return audit_commands.named_answer(name, output.answer_of(result_stream))

    def checks(self) -> CorpusVerdict:
        """Go, look or stop: what was kept, held against the limits of the recipe."""
        from dmforge.commands import audit as audit_commands

        return audit_commands.checks_of(self.folder)

    def funnel(self) -> QueryResult:
        """What became of the inputs of each stage."""
        return self.audit("funnel")

    def sql(self, text: str, *, seconds: float = 60.0, memory_mb: int = 2_048) -> pa.Table:
        """The answer to one SELECT over the tables of the lake; ids are as they are printed."""
        from dmforge.commands import audit as audit_commands
        from dmforge.curation.audit import output, sql_sandbox

        limits = sql_sandbox.SqlLimits(memory_mb, seconds)
        with audit_commands.ask_sql(self.folder, text, limits) as answer_stream:
            return output.table_of(answer_stream)

    def why(self, row_id: str, *, check: bool = False) -> Why:
        """Why a row is as it is: from the file that was brought to the bytes in a shard, if asked with all receipts checked."""
        from dmforge.commands import audit as audit_commands

        return audit_commands.why(self.folder, row_id, check)

    def report(self, file: Place, *, trainings: Sequence[Place] = (), other: Place | None = None) -> ReportFile:
        """Write all that the lake holds as one page, with the curves of some trainings, beside another corpus."""
        from dmforge.api.results import ReportFile
        from dmforge.commands import report as report_commands

        other_path = None if other is None else Path(other)
        return ReportFile(report_commands.write_report(self.folder, Path(file), list(map(Path, trainings)), other_path))

    def write_views(self, script: Place) -> ViewsFile:
        """Write a script of views of what counts now, which makes them in any database of DuckDB."""
        from dmforge.api.results import ViewsFile
        from dmforge.commands import audit as audit_commands

        return ViewsFile(Path(script), audit_commands.write_views(self.folder, Path(script)))

    def write_view_database(self, database: Place) -> ViewsFile:
        """Write a database of DuckDB with views of what counts now."""
        from dmforge.api.results import ViewsFile
        from dmforge.commands import audit as audit_commands

        return ViewsFile(Path(database), audit_commands.write_view_database(self.folder, Path(database)))

    def verify(self, *, repair: bool = False) -> WorkspaceReport:
        """Whether every file is as it was written; what isn't, since when, and how it can be had again. A repair has made again
        what can be, from what is sound, and asks nobody."""
        from dmforge.commands import verify_workspace

        caller = self._called("verify", {"repair": repair})
        return verify_workspace.verify_workspace(self.folder, caller, is_repair=repair)

    def digest(self) -> LakeDigest:
        """Check every part, and digest what the lake holds."""
        from dmforge.api.results import LakeDigest
        from dmforge.commands import run as run_commands

        return LakeDigest(tuple(run_commands.digest(self.folder)))

    def merge(self, *others: Place) -> MergeCounts:
        """Join other workspaces into this one. What they have settled and paid for is not done again."""
        from dmforge.commands import run as run_commands

        caller = self._called("merge", {"others": others})
        return run_commands.merge(self.folder, caller.command, list(map(Path, others)))

    def forget(self, *videos: str, source: str | None = None, reason: str, dry_run: bool = False) -> TakenDown:
        """Take videos down, by ids, names, lists `@FILE`, or a source: rows, media, journal lines and shards go for good."""
        from dmforge.commands import run as run_commands
        from dmforge.commands.video_finder import video_finder
        from dmforge.curation.lifecycle import takedown

        if bool(videos) == (source is not None):
            raise InputError("give either a video or --source", where="forget", hint="dmforge forget video_... --reason R")
        if not reason.strip():
            raise InputError("the reason is empty", where="--reason", hint="say why, for whoever looks for the video later")
        find_videos = video_finder(videos) if source is None else partial(takedown.videos_of, source=source)
        if dry_run:
            return run_commands.forget_dry_run(self.folder, find_videos)
        caller = self._called("forget", {"videos": videos, "source": source})
        return run_commands.forget(self.folder, caller.command, reason, find_videos)

    def upgrade(self, *, dry_run: bool = False) -> Upgraded:
        """Bring an older workspace up to what this version writes."""
        from dmforge.commands import upgrade

        return upgrade.upgrade_workspace(self.folder, self._called("upgrade", {}).command, dry_run)

    def _called(self, method_name: str, call_arguments: dict[str, Any], progress: bool = True) -> Caller:
        from dmforge.commands.caller import python_call

        return self._caller or python_call(f"{self!r}.{method_name}", call_arguments, progress)
