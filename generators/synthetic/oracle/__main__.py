"""The process behind `serving`; its arguments are worlds, behaviour as JSON, truth file or nothing. People use `dmforge
oracle`."""

from __future__ import annotations

import sys
from pathlib import Path

from dmforge.generators.synthetic.oracle.behaviour import Behaviour
from dmforge.generators.synthetic.oracle.oracle_process import serve
from dmforge.schemas.errors import DmforgeError


def main() -> None:
    worlds_folder, behaviour_json, truth_path = sys.argv[1:]
    try:
        behaviour = Behaviour.model_validate_json(behaviour_json)
        serve(Path(worlds_folder), 0, behaviour, Path(truth_path) if truth_path else None, until_stdin_closes=True)
    except DmforgeError as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
