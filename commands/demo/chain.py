"""The demo: the whole chain on synthetic worlds, from rendered videos to a student that has learnt to look.

An oracle is the teacher. A student imitates what the same run packed, habits and mistakes included; it tries other tasks, and
practises those that it neither always nor never solves. It is measured in worlds that it has never seen.
"""

from __future__ import annotations

import json
import os
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from importlib.util import find_spec
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from rich.console import Console

from dmforge.commands import audit, intake, pack_corpus, run, standing
from dmforge.commands import report as report_commands
from dmforge.commands.demo.ranks import DemoRanks
from dmforge.curation.audit.query import QueryResult
from dmforge.curation.engine.driver import StageReport
from dmforge.curation.io.atomic import writing
from dmforge.curation.io.command_result import Block, CommandResult
from dmforge.curation.lake import logical_digest
from dmforge.curation.output_paths import output_folder
from dmforge.curation.shards.corpus import Corpus
from dmforge.curation.shards.folders import Manifest
from dmforge.curation.sources.source_info import SourceInfo
from dmforge.curation.workspace_folder import WorkspaceFolder
from dmforge.generators.synthetic.lessons.lesson_corpora import pack_captions
from dmforge.generators.synthetic.oracle.behaviour import Behaviour
from dmforge.generators.synthetic.oracle.habits import Habits
from dmforge.generators.synthetic.oracle.oracle_process import serving
from dmforge.generators.synthetic.worlds.world_folder import LICENCE, SOURCE, WorldSettings, make_worlds
from dmforge.generators.teacher.teacher_config import KEY, URL
from dmforge.schemas.errors import InputError

if TYPE_CHECKING:
    from dmforge.commands.demo.train import DemoTraining

REPORT_FILE = "report.html"
SIZE_FILE = "size.json"
"""The size that a folder was made with: a half-trained student must not go on with other worlds."""
CONTENTS = frozenset({"worlds", "workspace", "planted.jsonl", "practice", "exam", "student", REPORT_FILE, SIZE_FILE})
MISTAKES = Behaviour(
    unknown=0.05,
    defects={"wrong_answer": 0.06, "window_past_end": 0.06, "malformed_tags_t1": 0.06, "empty_thought_t2": 0.06},
    faults={"truncated": 0.02, "prose": 0.05, "refusal": 0.02},
)
"""The oracle makes some mistakes, as teachers do, so that the filters find something."""
HABITS = MISTAKES.model_copy(update={"unknown": 0.0, "habits": Habits(wide_s=2, sparse=0.65)})
"""Where a student learns from it, the oracle also looks too widely and too sparsely, so that practice can improve it."""

SizeName = Literal["chain", "small", "full"]


@dataclass(frozen=True, slots=True)
class DemoSize:
    """The size of a demo: numbers of worlds and of training steps."""

    videos: int
    """Worlds that become the corpus."""
    practice: int = 0
    """Worlds whose tasks the student tries, to practise some."""
    exam: int = 0
    """Worlds that it is measured in."""
    imitations: int = 0
    """Steps of SFT; 0 trains nothing, and shows harder worlds in larger frames."""
    updates: int = 0
    """Updates of SD-GRPO."""
    captions: int = 0
    """The most steps of its lesson before imitation: it ends by a score."""


SIZES: dict[SizeName, DemoSize] = {
    "chain": DemoSize(24),
    "small": DemoSize(320, 88, 80, 400, 40, captions=200),
    "full": DemoSize(1_600, 240, 128, 850, 100, captions=400),
}
PRACTICE_SEED, EXAM_SEED, CAPTIONS_SEED = 1, 2, 3
CAPTIONED, CAPTIONS_HELD_OUT = 480, 40
"""The most worlds whose patches are captioned, and worlds whose captions are held out."""


@dataclass(frozen=True, slots=True)
class Finished(CommandResult):
    """The results of a demo."""

    workspace: WorkspaceFolder
    stages: list[StageReport]
    funnel: QueryResult
    corpora: dict[Path, Manifest]
    digest: str
    training: DemoTraining | None
    """The results of training; None where nothing was trained."""
    report: Path | None
    """The report's page; None where jinja2 is not installed."""

    def as_json(self) -> dict[str, Any]:
        stages_json = [
            {"name": stage.name, **asdict(stage.tally), "deferred": stage.deferred, "awaits": stage.blocked_by}
            for stage in self.stages
        ]
        training_json = self.training.as_json() if self.training else {}
        report_json = {"report": str(self.report)} if self.report else {}
        corpora_json = {manifest.corpus: _corpus_json(folder, manifest) for folder, manifest in self.corpora.items()}
        funnel_json = self.funnel.as_json()
        return {
            "stages": stages_json,
            "corpora": corpora_json,
            "funnel": funnel_json,
            "digest": self.digest,
            **training_json,
            **report_json,
        }

    def blocks(self) -> Iterator[Block]:
        yield from self.funnel.blocks()
        for corpus_folder, manifest in self.corpora.items():
            corpus_counts = _corpus_json(corpus_folder, manifest)
            yield ""
            yield f"{manifest.corpus}: " + ", ".join(
                f"{corpus_counts[count_name]} {count_name}" for count_name in ("samples", "videos", "shards", "bytes")
            )
            yield f"  {corpus_folder}"
        if self.training:
            yield ""
            yield from self.training.blocks()
        yield ""
        if self.report:
            yield f"All of it as one page, for a browser: {self.report}"
            yield ""
        yield f"digest {self.digest}"
        yield f"Look around: {self.workspace.root} explains itself; its recipe.toml says what each stage does."


def _corpus_json(folder: Path, manifest: Manifest) -> dict[str, Any]:
    corpus_counts = {
        "samples": manifest.samples,
        "videos": manifest.videos,
        "shards": len(manifest.shards),
        "bytes": manifest.bytes,
    }
    return {"selection": manifest.selection, "path": str(folder), **corpus_counts}


def demo(folder: Path, size: DemoSize, console: Console, command: str) -> Finished:
    """Run the demo in a folder. An interrupted one is continued; a finished one changes nothing."""
    output_folder(folder, "--out")
    _refuse_other_contents(folder, size)
    trains_student = size.imitations > 0
    world_settings, behaviour = WorldSettings(videos=size.videos, study=trains_student), HABITS if trains_student else MISTAKES
    with DemoRanks(command) as ranks:
        chain = Chain(console, command)
        if trains_student:
            ranks.start()
        workspace, stage_reports = chain.teach(folder, "study" if trains_student else "demo", world_settings, behaviour)
        has_nothing_pending = not any(stage_report.tally.pending for stage_report in stage_reports)
        demo_training = _train(folder, workspace, size, chain, ranks) if trains_student and has_nothing_pending else None
    return Finished(
        workspace,
        stage_reports,
        audit.named_answer("funnel", audit.audit(workspace, "funnel")),
        pack_corpus.corpora(workspace),
        logical_digest.digest_of_all(run.digest(workspace)),
        demo_training,
        _report(folder, workspace, [folder / "student" / method for method in ("sft", "sdgrpo")] if demo_training else []),
    )


@dataclass(frozen=True, slots=True)
class Chain:
    """Runs recipes on rendered worlds, from videos to packed shards."""

    console: Console
    command: str

    def teach(
        self, folder: Path, recipe_name: str, worlds: WorldSettings, teacher: Behaviour
    ) -> tuple[WorkspaceFolder, list[StageReport]]:
        """Make worlds, have the teacher annotate them, and run the recipe to packed shards."""
        make_worlds(folder / "worlds", worlds)
        with serving(folder / "worlds", teacher, folder / "planted.jsonl") as oracle_url, _teacher_endpoint(oracle_url):
            return self._run(folder, recipe_name)

    def make_exam(self, folder: Path, worlds: WorldSettings) -> Path:
        """Pack tasks about new worlds; the corpus's folder."""
        make_worlds(folder / "worlds", worlds)
        return only_corpus(self._run(folder, "exam")[0])

    def make_practice(self, folder: Path, worlds: WorldSettings, checkpoint: Path, ranks: DemoRanks) -> Path:
        """Pack tasks that a checkpoint neither always nor never solves; the corpus's folder. Ranks share the trying."""
        make_worlds(folder / "worlds", worlds)
        return only_corpus(self._run(folder, "practice", checkpoint, ranks)[0])

    def _run(
        self, folder: Path, recipe_name: str, checkpoint: Path | None = None, ranks: DemoRanks | None = None
    ) -> tuple[WorkspaceFolder, list[StageReport]]:
        """A workspace of the folder's worlds, run to its end: by ranks, where there are some, else in this process."""
        worlds_folder, workspace = folder / "worlds", WorkspaceFolder(folder / "workspace")
        if not workspace.recipe.exists():
            run.init(workspace.root, recipe_name)
        if checkpoint is not None:
            _set_checkpoint(checkpoint, workspace)
        intake.add_videos(
            workspace, self.command, [str(worlds_folder / "videos")], SourceInfo(SOURCE, LICENCE, namespace=SOURCE)
        )
        intake.add_annotations(workspace, self.command, "jsonl", [worlds_folder / "tasks.jsonl"])
        if ranks is not None and any(counts.pending for counts in standing.status(workspace).values()):
            ranks.run("run", workspace.root)
        reports = list(run.run(workspace, self.console, self.command))  # ranks leave nothing to do; it says what they did
        return workspace, reports


def _report(folder: Path, workspace: WorkspaceFolder, training_folders: Sequence[Path]) -> Path | None:
    return report_commands.write_report(workspace, folder / REPORT_FILE, training_folders) if find_spec("jinja2") else None


def _train(folder: Path, workspace: WorkspaceFolder, size: DemoSize, chain: Chain, ranks: DemoRanks) -> DemoTraining:
    from dmforge.commands.demo.train import Places, train_student

    def practice(checkpoint: Path) -> Path:
        worlds = WorldSettings(videos=size.practice, seed=PRACTICE_SEED, study=True)
        return chain.make_practice(folder / "practice", worlds, checkpoint, ranks)

    cot_corpus, lessons = only_corpus(workspace), folder / "student/lessons"
    clips = Corpus(cot_corpus).clips
    captioned_worlds = WorldSettings(videos=min(size.videos, CAPTIONED), study=True)
    held_out_worlds = WorldSettings(videos=CAPTIONS_HELD_OUT, seed=CAPTIONS_SEED, study=True)
    with ProcessPoolExecutor(1, get_context("forkserver")) as pool:  # lessons are packed while the exam is made
        captions = pool.submit(pack_captions, lessons / "captions", captioned_worlds, clips)
        held_out = pool.submit(pack_captions, lessons / "held_out", held_out_worlds, clips)
        exam_worlds = WorldSettings(videos=size.exam, seed=EXAM_SEED, study=True)
        exam_folder = chain.make_exam(folder / "exam", exam_worlds)
        training_places = Places(captions.result(), held_out.result(), cot_corpus, practice, exam_folder)
    steps = size.captions, size.imitations, size.updates
    return train_student(folder / "student", training_places, *steps, ranks, chain.console)


def _set_checkpoint(checkpoint_folder: Path, workspace: WorkspaceFolder) -> None:
    """Set the student's checkpoint in a workspace's recipe."""
    recipe_lines = workspace.recipe.read_text().splitlines(keepends=True)
    relative_path = os.path.relpath(checkpoint_folder, workspace.root)
    new_lines = (
        f'checkpoint = "{relative_path}"\n' if recipe_line.startswith("checkpoint = ") else recipe_line
        for recipe_line in recipe_lines
    )
    with writing(workspace.recipe) as recipe_file:
        recipe_file.write("".join(new_lines).encode())


def only_corpus(workspace: WorkspaceFolder) -> Path:
    """The folder of the only packed corpus of a workspace."""
    corpus_folders = list(pack_corpus.corpora(workspace))
    if len(corpus_folders) != 1:
        hint = "dmforge audit funnel -w says why; with more worlds some are: --videos"
        raise InputError("nothing was kept of so few worlds", where=str(workspace.root), hint=hint)
    return corpus_folders[0]


@contextmanager
def _teacher_endpoint(url: str) -> Generator[None]:
    """Set the oracle as this process's teacher endpoint; a key for a real one is removed from the environment meanwhile."""
    saved_environment = {variable_name: os.environ.get(variable_name) for variable_name in (URL, KEY)}
    os.environ[URL] = url
    os.environ.pop(KEY, None)
    try:
        yield
    finally:
        for variable_name, saved_value in saved_environment.items():
            if saved_value is None:
                os.environ.pop(variable_name, None)
            else:
                os.environ[variable_name] = saved_value


def _refuse_other_contents(folder: Path, size: DemoSize) -> None:
    """Refuse a folder with anything but a demo of this size. Where nothing is trained, worlds may be added."""
    hint = "give another folder with --out"
    if folder.is_file() or (folder.is_dir() and {entry.name for entry in folder.iterdir()} - CONTENTS):
        raise InputError("this holds something else than a demo", where=str(folder), hint=hint)
    size_values, size_path = asdict(size if size.imitations else replace(size, videos=0)), folder / SIZE_FILE
    stored_text = size_path.read_text("utf-8", "replace") if size_path.exists() else ""
    if stored_text != json.dumps(size_values) and (stored_text or (folder / "workspace").exists()):
        raise InputError("this holds a demo of another size", where=str(folder), hint=hint)
    with writing(size_path) as size_file:
        size_file.write(json.dumps(size_values).encode())
