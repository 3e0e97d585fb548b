"""An oracle as a process of its own: it says its address in one line, and can be told to end with whoever started it."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from dmforge.generators.oracle.behaviour import Behaviour
from dmforge.generators.oracle.oracle import Oracle
from dmforge.generators.oracle.server import Ledger, Server
from dmforge.schemas.errors import DmforgeError, InputError

KEY = "DMFORGE_ORACLE_KEY"
"""If this is set, only requests that bear this key are answered."""


def serve(worlds: Path, port: int, behaviour: Behaviour, truth: Path | None, *, until_stdin_closes: bool = False) -> None:
    """Answer until the process ends."""
    oracle, ledger = Oracle(worlds, behaviour), Ledger(truth)
    try:
        server = Server(port, oracle, behaviour, ledger, os.environ.get(KEY))
    except OSError as error:
        raise InputError(
            f"can't listen there: {error.strerror}", where=f"port {port}", mend="give another port, or 0"
        ) from None
    if until_stdin_closes:
        threading.Thread(target=_end_with_stdin, daemon=True).start()
    print(f"http://127.0.0.1:{server.server_port}/v1", flush=True)  # noqa: T201 (its address is its result)
    server.serve_forever()


@contextmanager
def serving(
    worlds: Path, behaviour: Behaviour | None = None, truth: Path | None = None, key: str | None = None
) -> Generator[str]:
    """The address of an oracle that runs while the block lasts, and never longer than this process."""
    told = (behaviour or Behaviour()).model_dump_json()
    command = [sys.executable, "-P", "-m", "dmforge.generators.oracle", str(worlds), told, str(truth or "")]
    told_key = {} if key is None else {KEY: key}
    environment = {name: value for name, value in os.environ.items() if name != KEY} | told_key
    # in a session of its own: Ctrl-C is for whoever started it, who ends it then
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment, start_new_session=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            address = process.stdout.readline().strip()
            if not address:
                raise DmforgeError("the oracle did not start", mend="see what it says above")
            yield address
        finally:
            process.kill()


def _end_with_stdin() -> None:
    sys.stdin.read()
    os._exit(0)
