"""A process that writes parts of an export. Its first line says the export, each further one is the number of a part."""

from __future__ import annotations

import json
import sys
from typing import IO, Any

from dmforge.curation.exports.export_part import ExportJob, write_part
from dmforge.schemas.errors import DmforgeError, InputError


def serve(requests: IO[str], replies: IO[str]) -> None:
    """Write the parts that are asked for, and answer each; whoever asks may be gone any time."""
    job = ExportJob(**json.loads(requests.readline()))
    for line in requests:
        answer: dict[str, Any] = {}
        try:
            write_part(job, int(line))
        except DmforgeError as error:
            is_input = isinstance(error, InputError)
            answer = {"message": error.message, "where": error.where, "hint": error.hint, "is_input": is_input}
        replies.write(json.dumps(answer) + "\n")
        replies.flush()


if __name__ == "__main__":
    serve(sys.stdin, sys.stdout)
