"""A limit on the memory of this process: what goes beyond it fails here, and not in a process of someone else."""

from __future__ import annotations

import resource


def limit_memory(further_bytes: int) -> None:
    """Limit what the process may allocate from now on, and let it leave no core. RLIMIT_DATA counts its own memory; RLIMIT_AS
    would also count libraries and mapped files, of which torch alone has gigabytes."""
    limit_bytes = _data_bytes() + further_bytes
    resource.setrlimit(resource.RLIMIT_DATA, (limit_bytes, limit_bytes))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _data_bytes() -> int:
    with open("/proc/self/status", encoding="ascii", errors="replace") as status_file:
        return next(int(line.split()[1]) << 10 for line in status_file if line.startswith("VmData:"))
