"""What is to be said of a recipe's prices: models that are asked and have none, and prices of models that nobody asks."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Sequence

from dmforge.curation.contract.stage import AnyStage
from dmforge.generators.teacher.teacher_config import TeacherConfig
from dmforge.recipe import Recipe
from dmforge.schemas.config import nearest


def price_remarks(recipe: Recipe) -> list[str]:
    """All that is to be said of a recipe's prices."""
    asked_models = sorted(_stages_by_model(recipe.stages))
    unasked_models = [
        f"[prices.{json.dumps(model)}] is of a model that no stage asks: {nearest(model, asked_models)}"
        for model in sorted(recipe.prices.keys() - set(asked_models) - _earlier_models(recipe.stages))
    ]
    return [*unpriced(recipe.stages), *unasked_models]


def _earlier_models(stages: Sequence[AnyStage]) -> set[str]:
    """The models whose answers stand, though nobody asks them any more."""
    return {model for stage in stages if isinstance(stage.config, TeacherConfig) for model in stage.config.earlier_models}


def unpriced(stages: Sequence[AnyStage]) -> list[str]:
    """A line for each model that some stages ask and that has no price."""
    priced_models = {model for stage in stages if isinstance(stage.config, TeacherConfig) for model in stage.config.prices}
    return [
        f"{json.dumps(model)} has no price, so what it is asked by {' and '.join(stage_names)} counts as $0.00: "
        f"write down [prices.{json.dumps(model)}], input_usd and output_usd, a million tokens; 0 if it is free"
        for model, stage_names in sorted(_stages_by_model(stages).items())
        if model not in priced_models
    ]


def _stages_by_model(stages: Sequence[AnyStage]) -> dict[str, list[str]]:
    """The names of the stages that ask each model."""
    stage_names_by_model = defaultdict[str, list[str]](list)
    for stage in stages:
        if isinstance(stage.config, TeacherConfig):
            for model in dict.fromkeys(teacher.model for teacher in stage.config.each()):
                stage_names_by_model[model].append(stage.name)
    return stage_names_by_model
