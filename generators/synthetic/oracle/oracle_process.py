"""Runs an oracle in a process of its own: it prints its address, and can be made to end with the process that started it."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from dmforge.generators.synthetic.oracle.behaviour import Behaviour
from dmforge.generators.synthetic.oracle.oracle import Oracle
from dmforge.generators.synthetic.oracle.oracle_server import OracleLedger, OracleServer
from dmforge.schemas.errors import DmforgeError, InputError

KEY = "DMFORGE_ORACLE_KEY"
"""The environment variable that holds a key; if it is set, only requests with that key are answered."""


def serve(
    worlds_folder: Path, port: int, behaviour: Behaviour, truth_path: Path | None, *, until_stdin_closes: bool = False
) -> None:
    """Serve an oracle until the process ends."""
    oracle, ledger = Oracle(worlds_folder, behaviour), OracleLedger(truth_path)
    try:
        server = OracleServer(port, oracle, behaviour, ledger, os.environ.get(KEY))
    except OSError as error:
        raise InputError(
            f"the port can't be opened: {error.strerror}", where=f"port {port}", hint="give another port, or 0"
        ) from None
    if until_stdin_closes:
        threading.Thread(target=_end_with_stdin, daemon=True).start()
    print(f"http://127.0.0.1:{server.server_port}/v1", flush=True)  # noqa: T201 (its address is its result)
    server.serve_forever()


@contextmanager
def serving(
    worlds_folder: Path, behaviour: Behaviour | None = None, truth_path: Path | None = None, api_key: str | None = None
) -> Generator[str]:
    """The address of an oracle that runs while the block lasts, and never longer than this process."""
    behaviour_json = (behaviour or Behaviour()).model_dump_json()
    command = [
        sys.executable,
        "-P",
        "-m",
        "dmforge.generators.synthetic.oracle",
        str(worlds_folder),
        behaviour_json,
        str(truth_path or ""),
    ]
    key_variable = {} if api_key is None else {KEY: api_key}
    environment = {variable_name: value for variable_name, value in os.environ.items() if variable_name != KEY} | key_variable
    # in its own session: Ctrl-C reaches the process that started it, which then ends it
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment, start_new_session=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            oracle_address = process.stdout.readline().strip()
            if not oracle_address:
                raise DmforgeError("the oracle did not start", hint="see its output above")
            yield oracle_address
        finally:
            process.kill()


def _end_with_stdin() -> None:
    sys.stdin.read()
    os._exit(0)
