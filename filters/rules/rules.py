"""Is a candidate's form sound? Measured on the text and what is known of its video alone; no model is asked."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Annotated

from pydantic import Field, PositiveInt, field_validator

from dmforge.curation.contract.stage import Batch, StageConfig
from dmforge.curation.contract.stage_results import Made, Result
from dmforge.curation.io.plugins import PluginGroup
from dmforge.filters.rules.audio_claims import silent
from dmforge.filters.rules.citations import CITATIONS
from dmforge.filters.rules.look_use import LOOK_USE
from dmforge.filters.rules.prose import language, length, repetition
from dmforge.filters.rules.rule import Rule, RuleInput, RuleScore, rule_input_of, verdict
from dmforge.filters.rules.shape import answer_form, density, frames, grammar, window
from dmforge.schemas.clips import Clips
from dmforge.schemas.config import Formerly, Later
from dmforge.schemas.errors import InputError
from dmforge.schemas.frames import GRID_FPS
from dmforge.schemas.looks import OFFERED_FPS
from dmforge.schemas.records import CandidateWithTask, Verdict


class RulesConfig(StageConfig):
    """What a trajectory may look like."""

    densities: tuple[Annotated[int, Field(gt=0, le=GRID_FPS)], ...] = Field(default=OFFERED_FPS, min_length=1)
    """Frames per second that a look may ask for."""
    max_looks: PositiveInt = 1
    """The most looks in a trajectory."""
    min_words: Annotated[PositiveInt, Formerly("least_words")] = 3
    """A thought of fewer words says nothing."""
    max_words: Annotated[PositiveInt, Formerly("most_words")] = 400
    """A thought of more words goes round in circles."""
    clips: Clips = Field(default_factory=Clips)
    """How many frames a look may have."""
    extra_rules: Later[tuple[str, ...]] = ()
    """Rules of plug-ins that candidates are held against as well, by their names."""

    @field_validator("extra_rules")
    @classmethod
    def _each_can_be_used(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(names)) < len(names):
            raise ValueError("a rule stands twice")
        extra_rules(names, "extra_rules")
        return names


class Rules(Batch[CandidateWithTask, Verdict]):
    """One verdict per candidate and rule, each between 0 and 1."""

    name, version = "rules", 2
    measures = ("grammar", "window", "density", "frames", "length", "repetition", "language", "answer_form", "silent")
    config: RulesConfig

    def given_scores(self) -> frozenset[str]:
        return frozenset((*self.measures, *self.config.extra_rules))

    def cache_key_parts(self) -> list[str]:
        return [f"{rule.name} {rule.version}" for rule in extra_rules(self.config.extra_rules, "extra_rules")]

    def process(self, items: Iterator[CandidateWithTask]) -> Iterator[Result]:
        rules = rules_of(self.config)
        for item in items:
            rule_input = rule_input_of(item, self.config.clips, self.config.max_looks)
            scored_rules = ((rule, rule.check(rule_input)) for rule in rules)
            yield Made(
                tuple(verdict(item, rule.name, rule_score) for rule, rule_score in scored_rules if rule_score is not None)
            )


def rules_of(config: RulesConfig) -> tuple[Rule, ...]:
    """All rules of this stage, each with an example that fails it, and those of plug-ins that it is to have."""

    def _density(rule_input: RuleInput) -> RuleScore:
        return density(rule_input, config.densities)

    def _length(rule_input: RuleInput) -> RuleScore:
        return length(rule_input, config.min_words, config.max_words)

    _density.__doc__, _length.__doc__ = density.__doc__, length.__doc__
    trajectory_end = "</think><answer>B</answer>"
    trajectory_look = "<think>Something changes near the middle. <span>2.00 - 6.00</span><fps>2</fps>"
    return (
        Rule("grammar", grammar, f"<think>Let me look there. <span>2.00 - 6.00<fps>2</fps>It is red now.{trajectory_end}"),
        Rule(
            "window", window, f"<think>Let me look there. <span>10.00 - 15.00</span><fps>2</fps>It is red now.{trajectory_end}"
        ),
        Rule(
            "density", _density, f"<think>Let me look there. <span>2.00 - 6.00</span><fps>5</fps>It is red now.{trajectory_end}"
        ),
        Rule(
            "frames", frames, f"<think>Let me look there. <span>0.00 - 11.00</span><fps>6</fps>It is red now.{trajectory_end}"
        ),
        Rule("length", _length, f"{trajectory_look}Red.{trajectory_end}"),
        Rule("repetition", repetition, f"{trajectory_look}{'It is red now. ' * 12}{trajectory_end}"),
        Rule(
            "language",
            language,
            f"{trajectory_look}Se ve un cuadrado azul que luego cambia de color y queda rojo.{trajectory_end}",
        ),
        Rule("answer_form", answer_form, f"{trajectory_look}It is red now.</think><answer>B, because it is red</answer>"),
        Rule("silent", silent, f"{trajectory_look}One can hear that it is red now.{trajectory_end}"),
        *extra_rules(config.extra_rules, "extra_rules"),
    )


def extra_rules(names: Sequence[str], where: str) -> list[Rule]:
    """Rules of plug-ins, by their names."""
    return [_extra_rule(plugin_name, where) for plugin_name in names]


def _extra_rule(plugin_name: str, where: str) -> Rule:
    rule = _PLUGINS.load(plugin_name, where)
    if rule is None:
        hint = "leave it out: candidates are held against dmforge's own rules anyway"
        raise InputError(f"the rule {plugin_name!r} is dmforge's own", where=where, hint=hint)
    return rule


def _checked_rule(plugin_name: str, loaded_object: object) -> Rule:
    if not isinstance(loaded_object, Rule):
        raise TypeError(f"is a {type(loaded_object).__name__}, and a Rule is needed")
    if loaded_object.name != plugin_name:
        raise TypeError(f"calls itself {loaded_object.name!r}, and its entry point {plugin_name!r}")
    return loaded_object


_PLUGINS = PluginGroup(
    "dmforge.rules", "rule", (*Rules.measures, *(rule.name for rule in (*CITATIONS, *LOOK_USE))), _checked_rule
)
