"""Disk errors that libraries report in their own ways, raised as everywhere else: with the folder and a hint."""

from __future__ import annotations

import os
import re
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from safetensors import SafetensorError

from dmforge.curation.io.atomic import TEMPORARY, disk_errors

SAFETENSORS_ERRNO = re.compile(r"os error (\d+)")
"""The system's error number in messages of safetensors, which is written in Rust."""
TORCH_WRITE_ERROR = re.compile(r"PytorchStreamWriter|inline_container\.cc")
"""Text in all errors of torch.save about failed writes, which don't give the cause."""
PROBE_BYTES = 1 << 20


@contextmanager
def refusals(folder: Path) -> Generator[None]:
    """Report failed writes into a folder, by whatever library, as disk errors."""
    with disk_errors(folder):
        try:
            yield
        except SafetensorError as error:
            if errno_match := SAFETENSORS_ERRNO.search(str(error)):
                raise OSError(int(errno_match[1]), os.strerror(int(errno_match[1]))) from error
            raise
        except RuntimeError as error:
            if TORCH_WRITE_ERROR.search(str(error)):
                _probe_disk(folder)
            raise


def _probe_disk(folder: Path) -> None:
    """Allocate a little space, so that the disk itself reports what is wrong."""
    probe_path = folder / f"probe{TEMPORARY}"
    try:
        with probe_path.open("wb") as probe_file:
            os.posix_fallocate(probe_file.fileno(), 0, PROBE_BYTES)
    finally:
        probe_path.unlink(missing_ok=True)
