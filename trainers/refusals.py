"""What a disk refuses to libraries that say so in words of their own, said as everywhere else: which folder, and the mend."""

from __future__ import annotations

import os
import re
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from safetensors import SafetensorError

from dmforge.curation.atomic import TEMPORARY, disk_errors

NUMBER = re.compile(r"os error (\d+)")
"""How safetensors, written in Rust, says what the system said."""
TORCH = re.compile(r"PytorchStreamWriter|inline_container\.cc")
"""What stands in all that torch.save says of writes that failed. Why they did, it doesn't say."""
PROBE_BYTES = 1 << 20


@contextmanager
def refusals(folder: Path) -> Generator[None]:
    """Writes of a training, by whatever library, into this folder."""
    with disk_errors(folder):
        try:
            yield
        except SafetensorError as error:
            if told := NUMBER.search(str(error)):
                raise OSError(int(told[1]), os.strerror(int(told[1]))) from error
            raise
        except RuntimeError as error:
            if TORCH.search(str(error)):
                _probe(folder)
            raise


def _probe(folder: Path) -> None:
    """Ask for a little room, so that the disk itself says what is wrong with it."""
    path = folder / f"probe{TEMPORARY}"
    try:
        with path.open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, PROBE_BYTES)
    finally:
        path.unlink(missing_ok=True)
