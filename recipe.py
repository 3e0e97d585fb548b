"""A recipe, read: an ordered list of configured stages, or one error that says what to mend."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from pydantic import Field

from dmforge.curation.accounts import Price
from dmforge.curation.lake.views import AnyStage
from dmforge.curation.stage import Collective, Root, Stage
from dmforge.curation.toml import read_toml
from dmforge.generators.student.named import StudentConfig, resolve_checkpoint
from dmforge.schemas.clips import Clips
from dmforge.schemas.config import Config, nearest, parse_config
from dmforge.schemas.errors import InputError
from dmforge.schemas.records import UNKNOWN, Sample

STAGES = {
    "ingest": "curation.video.ingest:Ingest",
    "import": "curation.sources.importing:Import",
    "benchmarks": "curation.sources.references:Benchmarks",
    "contamination": "filters.contamination:Contamination",
    "duplicates": "filters.duplicates:Duplicates",
    "needs_audio": "filters.needs_audio:NeedsAudio",
    "draw": "filters.draw:Draw",
    "segments": "generators.segments:Segments",
    "questions": "generators.questions:Questions",
    "admit": "generators.admit:Admit",
    "needles": "generators.needles:Needles",
    "absent": "generators.absent:Absent",
    "splice": "generators.splice:Splice",
    "annotate": "generators.annotate:Annotate",
    "rules": "filters.rules:Rules",
    "citations": "filters.citations:Citations",
    "verify": "filters.verify:Verify",
    "crosscheck": "filters.crosscheck:Crosscheck",
    "safety": "filters.safety:Safety",
    "blind": "filters.blind:Blind",
    "replay": "filters.replay:Replay",
    "necessity": "filters.necessity:Necessity",
    "density": "filters.density:Density",
    "vouch": "filters.vouch:Vouch",
    "thin": "generators.thin:Thin",
    "thrift": "filters.thrift:Thrift",
    "human": "filters.human:Human",
    "select_cot": "filters.select:SelectCot",
    "select_rl": "filters.select_rl:SelectRl",
    "pack": "curation.shards.pack:Pack",
    "count": "curation.trial:Count",
    "score": "curation.trial:Score",
    "inquire": "curation.trial:Inquire",
    "keep": "curation.trial:Keep",
}
"""Every stage that a recipe may name, and where it is: only those that a recipe names are imported."""
RECIPES = Path(__file__).parent / "recipes"


class Bring(Config):
    """Videos that every run brings in first: files that look as they did are not read again."""

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
    """What stands in recipe.toml."""

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
        """As it is frozen into a run's record."""
        return {"name": self.name, "stages": {stage.name: stage.config.model_dump(mode="json") for stage in self.stages}}

    def upto(self, until: str | None) -> tuple[AnyStage, ...]:
        """The stages up to and including one."""
        names = [stage.name for stage in self.stages]
        if until is not None and until not in names:
            raise InputError(f"the recipe has no stage {until!r}", where="--until", mend=nearest(until, names))
        return self.stages if until is None else self.stages[: names.index(until) + 1]


def read_recipe(path: Path) -> Recipe:
    """A recipe, or one error that names the key and the mend."""
    content = read_toml(path)
    file = parse_config(RecipeFile, content, where=str(path))
    stages: list[AnyStage] = []
    for name, values in file.stages.items():
        where = f"{path}: [stages.{name}]"
        if name not in STAGES:
            raise InputError(f"there is no stage {name!r}", where=where, mend=nearest(name, list(STAGES)))
        kind = stage_class(name)
        for shared in ("clips", "prices", "student"):
            if shared in kind.config_class.model_fields:
                values = {shared: getattr(file, shared), **values}
        config = parse_config(kind.config_class, values, where=where)
        stages.append(kind(resolve_checkpoint(path.parent, config) if "student" in kind.config_class.model_fields else config))
        _check(stages, where)
    return Recipe(file.name, tuple(stages), file.prices, file.bring)


def stage_class(name: str) -> type[Stage[Any, Any]]:
    """The stage of this name."""
    module, _, kind = STAGES[name].partition(":")
    return getattr(import_module(f"dmforge.{module}"), kind)


def corpus_of(stage: AnyStage) -> str | None:
    """The corpus that a stage selects, if it selects one."""
    return stage.config.model_dump().get("corpus") if Sample in stage.makes else None


def _check(stages: Sequence[AnyStage], where: str) -> None:
    """Hold the last of some stages against those before it: what the recipe alone tells is refused before anything is done."""
    _check_order(stages, where)
    _check_corpus(stages, where)
    _check_scores(stages, where)


def _check_order(stages: Sequence[AnyStage], where: str) -> None:
    *earlier, stage = stages
    made = {record for before in earlier for record in before.makes}
    own = () if isinstance(stage, Root) else (stage.reads,)
    needs = [*own, *stage.beside.values(), *(stage.also_reads if isinstance(stage, Collective) else ())]
    spared = stage.if_there if isinstance(stage, Collective) else ()
    for record in needs:
        if record not in made and record not in spared:
            makers = sorted(name for name in STAGES if record in stage_class(name).makes)
            mend = f"put one of these before it: {', '.join(makers)}" if makers else "leave it out"
            raise InputError(f"it reads {record.table}, which no earlier stage makes", where=where, mend=mend)


def _check_corpus(stages: Sequence[AnyStage], where: str) -> None:
    *earlier, stage = stages
    corpus = corpus_of(stage)
    if Sample not in stage.makes:
        return
    for before in earlier:
        if before.reads is Sample:
            mend = f"put it before [stages.{before.name}]"
            raise InputError(f"a selection behind {before.name!r} is in no shard", where=where, mend=mend)
        if corpus is not None and corpus == corpus_of(before):
            mend = f"give one of them another name, corpus = {corpus + '2'!r}"
            raise InputError(f"corpus {corpus!r} is selected by {before.name!r} already", where=where, mend=mend)


def _check_scores(stages: Sequence[AnyStage], where: str) -> None:
    *earlier, stage = stages
    measured = {name for before in earlier for name in before.measures}
    for name in sorted(stage.asked_scores() - measured):
        makers = sorted(maker for maker in STAGES if name in stage_class(maker).measures)
        mend = f"put one of these before it: {', '.join(makers)}" if makers else nearest(name, sorted(measured))
        raise InputError(f"no filter measures {name!r}", where=where, mend=mend)
