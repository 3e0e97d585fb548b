"""Sums over the requests of a run: calls, tokens, dollars and failures, by stage and in all."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import asdict, dataclass, field
from typing import Any

from dmforge.curation.contract.run_events import RequestAnswered, RequestEvent, RequestFailed, RunEvent


@dataclass
class RequestTotals:
    """Sums over some requests to teachers."""

    answers: int = 0
    failures: int = 0
    """Requests that failed, and were sent again or given up."""
    input_tokens: int = 0
    output_tokens: int = 0
    usd: float = 0.0
    last_reason: str = ""
    """Why the last of the failures failed, in the provider's words."""

    def add(self, event: RequestEvent) -> None:
        """Count one more request."""
        self.answers += isinstance(event, RequestAnswered)
        self.input_tokens += event.input_tokens
        self.output_tokens += event.output_tokens
        self.usd += event.usd
        if isinstance(event, RequestFailed):
            self.failures += 1
            self.last_reason = f"{event.status}: {event.reason}" if event.status else event.reason

    @property
    def calls(self) -> int:
        """Requests that were sent."""
        return self.answers + self.failures


@dataclass
class SpentByStage:
    """What one run spent. It follows the run's events."""

    stages: defaultdict[str, RequestTotals] = field(default_factory=lambda: defaultdict[str, RequestTotals](RequestTotals))
    total: RequestTotals = field(default_factory=RequestTotals)

    def follow(self, event: RunEvent) -> None:
        """Count an event, if it is one of a request."""
        if isinstance(event, RequestEvent):
            self.stages[event.stage].add(event)
            self.total.add(event)

    def as_json(self) -> dict[str, Any]:
        stage_documents = [{"name": stage_name, **_document(stage_totals)} for stage_name, stage_totals in self.stages.items()]
        return {**_document(self.total), "stages": stage_documents}


def _document(totals: RequestTotals) -> dict[str, Any]:
    return {
        "calls": totals.calls,
        **{total_name: total_value for total_name, total_value in asdict(totals).items() if total_name != "last_reason"},
    }
