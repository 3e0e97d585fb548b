"""Reads a recipe into an ordered list of configured stages, or raises one error that says what to correct."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from inspect import isabstract
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, model_validator

from dmforge.curation.audit.check_limits import MIN_SCORES, Checks
from dmforge.curation.contract.budget import Price
from dmforge.curation.contract.collective import Collective
from dmforge.curation.contract.stage import AnyStage, Ask, Batch, Each, Root, Stage, StageConfig
from dmforge.curation.engine import run_log
from dmforge.curation.io.plugins import PluginError, PluginGroup
from dmforge.curation.io.toml import read_toml
from dmforge.curation.lake.commits import WORD
from dmforge.curation.lake.missing_stage import MissingStage
from dmforge.curation.workspace_folder import WorkspaceFolder
from dmforge.generators.inference.named_student import StudentConfig, resolve_checkpoint
from dmforge.generators.teacher.teacher_config import TeacherConfig, TeacherDefaults
from dmforge.schemas.clips import Clips
from dmforge.schemas.config import Config, Operational, nearest, parse_config
from dmforge.schemas.errors import InputError
from dmforge.schemas.record_fields import UNKNOWN
from dmforge.schemas.records import RECORDS, Overview, Sample

STAGES = {
    "ingest": "curation.video.ingest:Ingest",
    "import": "curation.sources.importing:Import",
    "benchmarks": "curation.sources.benchmark_references:Benchmarks",
    "contamination": "filters.contamination:Contamination",
    "duplicates": "filters.duplicates:Duplicates",
    "needs_audio": "filters.needs_audio:NeedsAudio",
    "embed": "filters.embed:Embed",
    "draw": "filters.selection.task_sampling:Draw",
    "segments": "generators.stages.segments:Segments",
    "questions": "generators.stages.questions:Questions",
    "admit": "generators.stages.admit:Admit",
    "needles": "generators.stages.needles:Needles",
    "absent": "generators.stages.absent:Absent",
    "splice": "generators.stages.splice:Splice",
    "annotate": "generators.stages.annotate:Annotate",
    "rules": "filters.rules.rules:Rules",
    "citations": "filters.rules.citations:Citations",
    "verify": "filters.verify:Verify",
    "crosscheck": "filters.crosscheck:Crosscheck",
    "safety": "filters.safety:Safety",
    "blind": "filters.rollouts.blind:Blind",
    "replay": "filters.rollouts.replay:Replay",
    "necessity": "filters.rollouts.necessity:Necessity",
    "density": "filters.rollouts.density:Density",
    "vouch": "filters.rollouts.student_agreement:Vouch",
    "needed_looks": "filters.rollouts.needed_looks:NeededLooks",
    "thin": "generators.stages.reannotate_density:Thin",
    "thrift": "filters.rollouts.density_match:Thrift",
    "human": "filters.human:Human",
    "select_cot": "filters.selection.select_cot:SelectCot",
    "select_rl": "filters.selection.select_rl:SelectRl",
    "pack": "curation.packing.pack:Pack",
    "count": "curation.engine.rehearsal:RehearsalCount",
    "score": "curation.engine.rehearsal:RehearsalScore",
    "inquire": "curation.engine.rehearsal:RehearsalInquire",
    "keep": "curation.engine.rehearsal:RehearsalKeep",
}
"""dmforge's own stages, each with its module and class: only those of a recipe are imported."""
RECIPES = Path(__file__).parent / "recipes"


class Bring(Config):
    """Videos that every run ingests first; unchanged files are not read again."""

    videos: tuple[str, ...] = ()
    """Files, folders or addresses; relative ones are seen from the workspace's folder."""
    source: str = UNKNOWN
    """Where they come from."""
    licence: str = UNKNOWN
    """What they may be used under."""
    terms: str = UNKNOWN
    """Conditions beside the licence."""
    namespace: str = UNKNOWN
    """Whose ids the videos' names are."""


class Looks(Config):
    """How often a policy may look closer."""

    max_looks: Annotated[int, Field(ge=1, le=16)] = 1
    """The most looks of a trajectory."""
    overview: Overview = "first"
    """When a teacher is shown the coarse clip: before its first look only, or `always`."""

    @model_validator(mode="after")
    def _has_further_looks(self) -> Looks:
        if self.overview == "always" and self.max_looks == 1:
            raise ValueError('overview = "always" is about further looks, and max_looks is 1: raise that, or leave it out')
        return self


class RecipeFile(Config):
    """The contents of recipe.toml."""

    name: str
    """What the recipe is called."""
    description: str = ""
    """What corpus it builds, for people."""
    prices: dict[str, Price] = Field(default_factory=dict[str, Price])
    """What models cost, `[prices.MODEL]`: for plans, budgets and bills."""
    bring: Bring = Field(default_factory=Bring)
    """Videos that belong to the recipe, `[bring]`; others are brought by `dmforge ingest`."""
    clips: Clips = Field(default_factory=Clips)
    """Which frames a policy is shown, and how large: one setting for all stages that have a say in it."""
    looks: Looks = Field(default_factory=Looks)
    """How often a policy may look, `[looks]`: one setting for all stages that have a say in it."""
    teacher: TeacherDefaults = Field(default_factory=TeacherDefaults)
    """Whom all stages ask that name no other, and how: a stage's own table says where it differs."""
    student: StudentConfig = Field(default_factory=StudentConfig)
    """The checkpoint that rollouts are of, `[student]`: one for all stages that roll out."""
    checks: Operational[Checks] = Field(default_factory=Checks)
    """What an audit stops for, `[checks]`: of what was kept, how much may be wrong, guessed or alike."""
    stages: dict[str, dict[str, Any]]
    """A table for each stage, `[stages.NAME]`, in the order in which they run."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """A recipe with every stage configured and every default filled in."""

    name: str
    stages: tuple[AnyStage, ...]
    prices: Mapping[str, Price]
    bring: Bring
    checks: Checks

    def resolved(self) -> dict[str, Any]:
        """The recipe with all defaults, as it is stored in a run's record."""
        return {"name": self.name, "stages": {stage.name: stage.config.model_dump(mode="json") for stage in self.stages}}

    def upto(self, last_stage: str | None) -> tuple[AnyStage, ...]:
        """The stages up to and including one."""
        stage_names = [stage.name for stage in self.stages]
        if last_stage is not None and last_stage not in stage_names:
            raise InputError(f"the recipe has no stage {last_stage!r}", where="--until", hint=nearest(last_stage, stage_names))
        return self.stages if last_stage is None else self.stages[: stage_names.index(last_stage) + 1]


StandIn = Callable[[str, Mapping[str, Any], PluginError], AnyStage]
"""What takes the place of a stage (its name, its settings) whose plug-in can't be used; or it raises the error."""


def refuse(name: str, settings: Mapping[str, Any], error: PluginError) -> AnyStage:
    """No stand-in: without all of its stages a recipe makes nothing."""
    del name, settings
    raise error


def read_recipe(path: Path, stand_in: StandIn = refuse) -> Recipe:
    """Read a recipe; an error names the key and the remedy."""
    recipe_content = read_toml(path)
    file = parse_config(RecipeFile, recipe_content, where=str(path))
    stages: list[AnyStage] = []
    for stage_name, stage_settings in file.stages.items():
        table_place = f"{path}: [stages.{stage_name}]"
        try:
            stages.append(_configured_stage(path, file, stage_name, table_place))
        except PluginError as error:
            stages.append(stand_in(stage_name, stage_settings, _with_package(error, path)))
        if not any(isinstance(stage, MissingStage) for stage in stages):  # what it makes and measures can't all be known
            _check_last(stages, table_place)
    if not any(isinstance(stage, MissingStage) for stage in stages):
        _check_limits(file.checks, stages, f"{path}: [checks.min_score]")
    return Recipe(file.name, tuple(stages), file.prices, file.bring, file.checks)


def _configured_stage(path: Path, file: RecipeFile, stage_name: str, where: str) -> AnyStage:
    stage_type = stage_class(stage_name, where)
    stage_config = parse_config(stage_type.config_class, stage_values(file, stage_name, stage_type.config_class), where=where)
    return stage_type(
        resolve_checkpoint(path.parent, stage_config) if "student" in stage_type.config_class.model_fields else stage_config
    )


def stage_values(file: RecipeFile, stage_name: str, config_class: type[StageConfig]) -> dict[str, Any]:
    """What a recipe says of a stage: in its own table, and in the tables that stages share."""
    stage_settings = file.stages[stage_name]
    shared = {section_name: getattr(file, section_name) for section_name in ("clips", "prices", "student")}
    shared |= {setting: getattr(file.looks, setting) for setting in file.looks.model_fields_set}
    shared = {shared_name: value for shared_name, value in shared.items() if shared_name in config_class.model_fields}
    if issubclass(config_class, TeacherConfig):
        shared |= {setting: getattr(file.teacher, setting) for setting in file.teacher.model_fields_set}
        if stage_settings.get("teachers"):  # it names its models itself
            shared.pop("model", None)
    looks_of_stage, has_own_looks = stage_settings.get("max_looks"), "max_looks" in config_class.model_fields
    is_shared = has_own_looks and "max_looks" in file.looks.model_fields_set
    if is_shared and isinstance(looks_of_stage, int) and looks_of_stage > file.looks.max_looks:
        message = f"a stage may look {looks_of_stage} times, and [looks] max_looks is {file.looks.max_looks}"
        raise InputError(message, where=f"stages.{stage_name}.max_looks", hint="raise that of [looks], which all stages share")
    return {**shared, **stage_settings}


def _with_package(error: PluginError, path: Path) -> PluginError:
    """The same error, hinting at the package where runs of the recipe's workspace had the plug-in."""
    package_name = run_log.plugins_of_runs(WorkspaceFolder(path.parent)).get(error.missing) if error.missing else None
    if package_name is not None:
        error.hint = f"install {package_name}, from which earlier runs had it"
    return error


def stage_class(name: str, where: str = "stages") -> type[Stage[Any, Any]]:
    """The stage of this name, dmforge's own or a plug-in's."""
    plugin = _PLUGINS.load(name, where)
    if plugin is not None:
        return plugin
    module_name, _, class_name = STAGES[name].partition(":")
    return getattr(import_module(f"dmforge.{module_name}"), class_name)


def find_stage_class(name: str) -> type[Stage[Any, Any]] | None:
    """The stage of this name; None where neither dmforge nor an installed package has it any more."""
    try:
        return stage_class(name)
    except PluginError:
        return None


def _checked_stage(name: str, loaded_object: object) -> type[Stage[Any, Any]]:
    if not (isinstance(loaded_object, type) and issubclass(loaded_object, Each | Ask | Batch | Collective)):
        kind = "class of another kind" if isinstance(loaded_object, type) else type(loaded_object).__name__
        raise TypeError(f"is a {kind}, and a class derived from Each, Ask, Batch or Collective is needed")
    if isabstract(loaded_object) or not hasattr(loaded_object, "reads"):
        raise TypeError("is abstract: it says nothing of what it reads and makes, or has no `process`")
    if getattr(loaded_object, "name", None) != name:
        raise TypeError(f"calls itself {getattr(loaded_object, 'name', None)!r}, and its entry point {name!r}")
    if not WORD.fullmatch(name):
        raise TypeError(f"is called {name!r}, and a name of small letters, digits and underscores is needed")
    if type(getattr(loaded_object, "version", None)) is not int:
        raise TypeError("has no whole number as its `version`, which work is told apart by")
    if not _is_subclass(loaded_object.config_class, StageConfig):
        raise TypeError(f"has a `config` of {loaded_object.config_class}, and a class derived from StageConfig is needed")
    return loaded_object


def _is_subclass(candidate: object, base: type) -> bool:
    return isinstance(candidate, type) and issubclass(candidate, base)


_PLUGINS = PluginGroup("dmforge.stages", "stage", STAGES.keys(), _checked_stage)


def corpus_of(stage: AnyStage) -> str | None:
    """The corpus that a stage selects, if it selects one."""
    return stage.config.model_dump().get("corpus") if Sample in stage.makes else None


def _check_last(stages: Sequence[AnyStage], where: str) -> None:
    """Check the last of some stages against those before it, so that a wrong recipe is refused before anything is done."""
    _check_order(stages, where)
    _check_tables(stages, where)
    _check_corpus(stages, where)
    _check_scores(stages, where)


def _check_order(stages: Sequence[AnyStage], where: str) -> None:
    *earlier_stages, last_stage = stages
    made_records = {record for earlier_stage in earlier_stages for record in earlier_stage.makes}
    own_reads = () if isinstance(last_stage, Root) else (last_stage.reads,)
    needed_records = [
        *own_reads,
        *last_stage.beside.values(),
        *(last_stage.also_reads if isinstance(last_stage, Collective) else ()),
    ]
    optional_records = last_stage.if_there if isinstance(last_stage, Collective) else ()
    for record in needed_records:
        if record not in made_records and record not in optional_records:
            maker_names = sorted(name for name in STAGES if record in stage_class(name).makes)
            hint = (
                f"put one of these before it: {', '.join(maker_names)}"
                if maker_names
                else "put the plug-in's stage that does before it"
            )
            raise InputError(f"it reads {record.table}, which no earlier stage makes", where=where, hint=hint)


def _check_tables(stages: Sequence[AnyStage], where: str) -> None:
    """A table and a kind of ids have one meaning in a lake, though plug-ins bring records of their own."""
    *earlier_stages, last_stage = stages
    records = {name: record for record in RECORDS for name in (record.table, record.kind)}
    for earlier_stage in earlier_stages:
        records |= {name: record for record in earlier_stage.makes for name in (record.table, record.kind)}
    for record in last_stage.makes:
        for name in (record.table, record.kind):
            if records.get(name, record) is not record:
                other_record = f"{records[name].__module__}.{records[name].__name__}"
                message = f"it makes {name!r}, and so does {other_record}, which is another record"
                raise InputError(
                    message, where=where, hint="leave one of the two stages out, or rename its record's table and kind"
                )


def _check_corpus(stages: Sequence[AnyStage], where: str) -> None:
    *earlier_stages, last_stage = stages
    corpus = corpus_of(last_stage)
    if Sample not in last_stage.makes:
        return
    for earlier_stage in earlier_stages:
        if earlier_stage.reads is Sample:
            hint = f"put it before [stages.{earlier_stage.name}]"
            raise InputError(f"a selection behind {earlier_stage.name!r} is in no shard", where=where, hint=hint)
        if corpus is not None and corpus == corpus_of(earlier_stage):
            hint = f"give one of them another name, corpus = {corpus + '2'!r}"
            raise InputError(f"corpus {corpus!r} is selected by {earlier_stage.name!r} already", where=where, hint=hint)


def _check_scores(stages: Sequence[AnyStage], where: str) -> None:
    *earlier_stages, stage = stages
    measured_scores = {name for earlier_stage in earlier_stages for name in earlier_stage.given_scores()}
    for score_name in sorted(stage.asked_scores() - measured_scores):
        makers = sorted(maker for maker in STAGES if score_name in stage_class(maker).measures)
        hint = f"put one of these before it: {', '.join(makers)}" if makers else nearest(score_name, sorted(measured_scores))
        if any(earlier_stage.name in makers for earlier_stage in earlier_stages):
            hint = f"it is measured where [looks] max_looks is more than 1, by {', '.join(makers)}"
        raise InputError(f"no filter measures {score_name!r}", where=where, hint=hint)
    for earlier_stage in earlier_stages:
        # two of dmforge's own may share a name, being about subjects of different kinds
        shared_scores = stage.given_scores() & earlier_stage.given_scores() - (_own_scores(stage) & _own_scores(earlier_stage))
        for score_name in sorted(shared_scores):
            message = f"it measures {score_name!r}, and so does {earlier_stage.name!r}: a threshold could mean either"
            raise InputError(message, where=where, hint="leave one of them out, or rename the plug-in's")


def _check_limits(checks: Checks, stages: Sequence[AnyStage], where: str) -> None:
    known_scores = {*MIN_SCORES, *(score_name for stage in stages for score_name in stage.given_scores())}
    for score_name in sorted(set(checks.min_score) - known_scores):
        raise InputError(f"no filter measures {score_name!r}", where=where, hint=nearest(score_name, sorted(known_scores)))


def _own_scores(stage: AnyStage) -> frozenset[str]:
    """The scores that are dmforge's own, not a plug-in's."""
    return frozenset(stage.measures if stage.name in STAGES else ())
