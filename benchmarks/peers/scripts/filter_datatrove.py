"""Rows filtered by rule, with reasons, resumable: datatrove."""

import sys

from datatrove.executor import LocalPipelineExecutor
from datatrove.pipeline.filters.base_filter import BaseFilter
from datatrove.pipeline.readers import JsonlReader
from datatrove.pipeline.writers import JsonlWriter
from rules import judge


class Rules(BaseFilter):
    name = "rules"

    def filter(self, doc):
        reason = judge(doc.text, doc.metadata["answer"])
        return (False, reason) if reason else True


if __name__ == "__main__":
    source, target = sys.argv[1:]
    LocalPipelineExecutor(
        pipeline=[
            JsonlReader(source, glob_pattern="*.jsonl"),
            Rules(exclusion_writer=JsonlWriter(f"{target}/dropped")),
            JsonlWriter(f"{target}/kept"),
        ],
        tasks=16,
        workers=2,
        logging_dir=f"{target}/logs",
    ).run()
