"""The report's page: one file that needs no network, in which nothing runs but its own script.

Templates escape everything; what is foreign is shown by `visible`. The policy in the head names style and script by their
digests, so whatever else came in as markup would neither be run nor be styled.
"""

from __future__ import annotations

import base64
import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, cast

from markupsafe import Markup

from dmforge.curation.audit.compared_corpora import ComparedQuantity
from dmforge.curation.audit.corpus_checks import CorpusVerdict
from dmforge.curation.audit.query import QueryResult
from dmforge.curation.report.cards import Card
from dmforge.curation.report.figures import BarChart, ScoreDistribution, SummaryFigure
from dmforge.curation.report.funnel import FunnelStage, flow
from dmforge.curation.report.html_text import plain, runs, visible
from dmforge.curation.report.sample_cards import LostInputs, reason_group
from dmforge.curation.report.training_curves import TrainingCurves
from dmforge.schemas.ids import Id, show
from dmforge.schemas.looks import print_density, print_limits, print_span

if TYPE_CHECKING:
    from jinja2 import Environment

TEMPLATES = Path(__file__).parent / "templates"
WIDE, NARROW = (860, 540), (324, 140)
"""The funnel's picture and its trunk, on a desk and on a phone."""


class LossLink(NamedTuple):
    """Where examples of a loss stand on the page."""

    href: str
    group: str
    """What their cards are called; empty where they have none."""


@dataclass(frozen=True, slots=True)
class Report:
    """The content of the page."""

    title: str
    verdict: CorpusVerdict
    facts: Sequence[SummaryFigure]
    """Which recipe, selection and version, and when it last ran."""
    summary: Sequence[SummaryFigure]
    stops: Sequence[FunnelStage]
    distributions: Sequence[BarChart]
    other_name: str
    compared: Sequence[ComparedQuantity]
    """The distributions beside those of another corpus, if one is named."""
    scores: Sequence[ScoreDistribution]
    tables: Mapping[str, QueryResult]
    """Answers to named queries: agreement, cost."""
    trainings: Sequence[TrainingCurves]
    cards: Sequence[Card]
    slips: Sequence[LostInputs]
    version: str


def environment(*folders: Path) -> Environment:
    """The environment of templates, in further folders too, with the filters that they use."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    jinja_environment = Environment(
        loader=FileSystemLoader([*folders, TEMPLATES]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    filters = cast("dict[str, Callable[..., object]]", jinja_environment.filters)
    filters.update({
        "visible": visible, "runs": runs, "plain": plain, "span": print_span, "density": print_density, "limits": print_limits,
        "cell": _cell, "is_number": _is_number, "named": _printed_id,
    })  # fmt: skip
    return jinja_environment


def render(report: Report) -> str:
    """The page as HTML."""
    css_text, javascript_text = asset("page.css"), asset("page.js")
    return (
        environment()
        .get_template("page.html")
        .render(
            report=report, flows=[flow(report.stops, *WIDE), flow(report.stops, *NARROW)], style=Markup(css_text),
            script=Markup(javascript_text), policy=policy(css_text, javascript_text),
            groups=_count_names(card.chosen.group for card in report.cards),
            kinds=_count_names(card.task.task_kind for card in report.cards),
            card_of_sample=_card_places(report.cards), loss_links=_loss_links(report),
            sources=_count_names(card.task.source for card in report.cards),
        )
    )  # fmt: skip


def policy(css_text: str, javascript_text: str) -> str:
    """The content security policy: this style, this script, pictures that stand in the page, and nothing else."""
    return (
        f"default-src 'none'; img-src data:; style-src {_csp_source(css_text)}; script-src {_csp_source(javascript_text)}; "
        "base-uri 'none'; form-action 'none'"
    )


def asset(file_name: str) -> str:
    """A file beside the templates, as it stands in the page."""
    return (TEMPLATES / file_name).read_text("utf-8")


def _csp_source(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode('ascii')}'"


def _count_names(repeated_names: Iterable[str]) -> list[tuple[str, int]]:
    """Names with their counts, in the order in which they first come."""
    return list(Counter(repeated_names).items())


def _card_places(cards: Sequence[Card]) -> dict[str, int]:
    """The place of each sample's card on the page, by the sample's printed id."""
    return {show("sample", sample.id): place for place, card in enumerate(cards, 1) for sample in card.samples}


def _loss_links(report: Report) -> dict[tuple[str, str, str], LossLink]:
    """Where on the page examples stand of each loss of the funnel, by stage, status and reason."""
    first_cards: dict[str, int] = {}
    for place, card in enumerate(report.cards, 1):
        first_cards.setdefault(card.chosen.group, place)
    slips = {(slip.stage, slip.status, slip.reason) for slip in report.slips}
    links: dict[tuple[str, str, str], LossLink] = {}
    for stop in report.stops:
        for loss in stop.losses:
            key, group = (stop.name, loss.status, loss.reason), reason_group(stop.name, loss.status, loss.reason)
            if group in first_cards:
                links[key] = LossLink(f"#card-{first_cards[group]}", group)
            elif key in slips:
                links[key] = LossLink("#slips", "")
    return links


def _printed_id(id: Id, kind: str) -> str:
    return show(kind, id)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _cell(value: object) -> str:
    """A value of a table."""
    if value is None:
        return "\u2013"
    if isinstance(value, float):
        return f"{value:,.4g}" if abs(value) < 1000 else f"{value:,.0f}"
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)
