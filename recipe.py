"""Reads a recipe into an ordered list of configured stages, or raises one error that says what to correct."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from pydantic import Field

from dmforge.curation.contract.budget import Price
from dmforge.curation.contract.collective import Collective
from dmforge.curation.contract.stage import AnyStage, Root, Stage
from dmforge.curation.io.toml import read_toml
from dmforge.generators.inference.named_student import StudentConfig, resolve_checkpoint
from dmforge.schemas.clips import Clips
from dmforge.schemas.config import Config, nearest, parse_config
from dmforge.schemas.errors import InputError
from dmforge.schemas.records import UNKNOWN, Sample

STAGES = {
    "ingest": "curation.video.ingest:Ingest",
    "import": "curation.sources.importing:Import",
    "benchmarks": "curation.sources.benchmark_references:Benchmarks",
    "contamination": "filters.contamination:Contamination",
    "duplicates": "filters.duplicates:Duplicates",
    "needs_audio": "filters.needs_audio:NeedsAudio",
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
"""Every stage that a recipe may name, with its module and class: only those of a recipe are imported."""
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
    student: StudentConfig = Field(default_factory=StudentConfig)
    """The checkpoint that rollouts are of, `[student]`: one for all stages that roll out."""
    stages: dict[str, dict[str, Any]]
    """A table for each stage, `[stages.NAME]`, in the order in which they run."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """A recipe with every stage configured and every default filled in."""

    name: str
    stages: tuple[AnyStage, ...]
    prices: Mapping[str, Price]
    bring: Bring

    def resolved(self) -> dict[str, Any]:
        """The recipe with all defaults, as it is stored in a run's record."""
        return {"name": self.name, "stages": {stage.name: stage.config.model_dump(mode="json") for stage in self.stages}}

    def upto(self, last_stage: str | None) -> tuple[AnyStage, ...]:
        """The stages up to and including one."""
        names = [stage.name for stage in self.stages]
        if last_stage is not None and last_stage not in names:
            raise InputError(f"the recipe has no stage {last_stage!r}", where="--until", hint=nearest(last_stage, names))
        return self.stages if last_stage is None else self.stages[: names.index(last_stage) + 1]


def read_recipe(path: Path) -> Recipe:
    """Read a recipe; an error names the key and the remedy."""
    content = read_toml(path)
    file = parse_config(RecipeFile, content, where=str(path))
    stages: list[AnyStage] = []
    for name, values in file.stages.items():
        where = f"{path}: [stages.{name}]"
        if name not in STAGES:
            raise InputError(f"there is no stage {name!r}", where=where, hint=nearest(name, list(STAGES)))
        stage_type = stage_class(name)
        for section in ("clips", "prices", "student"):
            if section in stage_type.config_class.model_fields:
                values = {section: getattr(file, section), **values}
        config = parse_config(stage_type.config_class, values, where=where)
        stages.append(
            stage_type(resolve_checkpoint(path.parent, config) if "student" in stage_type.config_class.model_fields else config)
        )
        _check_last(stages, where)
    return Recipe(file.name, tuple(stages), file.prices, file.bring)


def stage_class(name: str) -> type[Stage[Any, Any]]:
    """The stage of this name."""
    module, _, class_name = STAGES[name].partition(":")
    return getattr(import_module(f"dmforge.{module}"), class_name)


def corpus_of(stage: AnyStage) -> str | None:
    """The corpus that a stage selects, if it selects one."""
    return stage.config.model_dump().get("corpus") if Sample in stage.makes else None


def _check_last(stages: Sequence[AnyStage], where: str) -> None:
    """Check the last of some stages against those before it, so that a wrong recipe is refused before anything is done."""
    _check_order(stages, where)
    _check_corpus(stages, where)
    _check_scores(stages, where)


def _check_order(stages: Sequence[AnyStage], where: str) -> None:
    *earlier, stage = stages
    made_records = {record for earlier_stage in earlier for record in earlier_stage.makes}
    own_reads = () if isinstance(stage, Root) else (stage.reads,)
    needed_records = [*own_reads, *stage.beside.values(), *(stage.also_reads if isinstance(stage, Collective) else ())]
    optional_records = stage.if_there if isinstance(stage, Collective) else ()
    for record in needed_records:
        if record not in made_records and record not in optional_records:
            makers = sorted(name for name in STAGES if record in stage_class(name).makes)
            hint = f"put one of these before it: {', '.join(makers)}" if makers else "leave it out"
            raise InputError(f"it reads {record.table}, which no earlier stage makes", where=where, hint=hint)


def _check_corpus(stages: Sequence[AnyStage], where: str) -> None:
    *earlier, stage = stages
    corpus = corpus_of(stage)
    if Sample not in stage.makes:
        return
    for earlier_stage in earlier:
        if earlier_stage.reads is Sample:
            hint = f"put it before [stages.{earlier_stage.name}]"
            raise InputError(f"a selection behind {earlier_stage.name!r} is in no shard", where=where, hint=hint)
        if corpus is not None and corpus == corpus_of(earlier_stage):
            hint = f"give one of them another name, corpus = {corpus + '2'!r}"
            raise InputError(f"corpus {corpus!r} is selected by {earlier_stage.name!r} already", where=where, hint=hint)


def _check_scores(stages: Sequence[AnyStage], where: str) -> None:
    *earlier, stage = stages
    measured = {name for earlier_stage in earlier for name in earlier_stage.measures}
    for name in sorted(stage.asked_scores() - measured):
        makers = sorted(maker for maker in STAGES if name in stage_class(maker).measures)
        hint = f"put one of these before it: {', '.join(makers)}" if makers else nearest(name, sorted(measured))
        raise InputError(f"no filter measures {name!r}", where=where, hint=hint)
