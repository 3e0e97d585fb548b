"""What became of the questions of imported files, and which videos they lack."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dmforge.curation.io.command_result import Block, CommandResult
from dmforge.curation.output_paths import output_file
from dmforge.curation.sources.missing_videos import write_missing_videos
from dmforge.curation.sources.video_names import parse


@dataclass(frozen=True, slots=True)
class Imported(CommandResult):
    """Counts of an import, by what became of the questions: questions = tasks + identical + rejected + pending."""

    tasks: int
    identical: int
    flagged: dict[str, int]
    rejected: dict[str, int]
    pending: int
    deferred: dict[str, int]
    examples: dict[str, str]
    """For each reason, one question that was rejected for it: its file, its row, and the video that it names."""
    missing: Mapping[str, int]
    """The names of videos that nobody has brought, with the number of questions about each."""
    namespace: str

    def as_json(self) -> dict[str, Any]:
        return {count_name: getattr(self, count_name) for count_name in ("tasks", "identical", "flagged", "rejected")}

    def write_missing(self, path: Path) -> int:
        """Write the list of missing videos, a line of JSON each; how many there are."""
        return write_missing_videos(output_file(path, "--missing"), {self.namespace: self.missing})

    def blocks(self) -> Iterator[Block]:
        yield f"{self.tasks} tasks, {self.identical} identical, {sum(self.rejected.values())} rejected"
        for flag_name, count in self.flagged.items():
            yield f"  flagged: {count} {flag_name}"
        for reason, count in self.rejected.items():
            example_text = self.examples.get(reason, "").removesuffix(": ")
            yield f"  rejected: {count} {reason}, as in {example_text}"
        if self.missing:
            yield f"  {len(set(map(parse, self.missing)))} videos are missing; --missing FILE lists them"
