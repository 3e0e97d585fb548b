"""Files that lines are appended to: what was acknowledged is on the disk, and half a line is cut off before the next one."""

from __future__ import annotations

import os

from dmforge.curation.io import machine

BLOCK_BYTES = 65_536


def append_lines(descriptor: int, end_offset: int, data: bytes) -> None:
    """Write whole lines at the end of a file; once this returns, they are on the disk."""
    try:
        written_bytes = 0
        while written_bytes < len(data):
            written_bytes += machine.current.pwrite(descriptor, data[written_bytes:], end_offset + written_bytes)
        machine.current.fsync(descriptor)
    except OSError:
        machine.current.truncate(descriptor, end_offset)  # half a line on a full disk must not join the next one
        raise


def is_on_disk(line: bytes) -> bool:
    """Whether all of a line came to the disk. A power cut may leave some sectors of one that was never acknowledged: the others
    are zeros, of which JSON has none. Whole lines may stand behind it, so it is passed over, not cut.

    A lone zero within a line is none of that: one flipped bit makes it of a blank, and the line was acknowledged."""
    return not line.startswith(b"\0") and b"\0\0" not in line


def cut_torn_line(descriptor: int) -> int:
    """Cut half a line that a kill left at the end: it was never acknowledged. Returns the end of what is left."""
    lines_end_offset = end_of_lines(descriptor)
    if lines_end_offset < os.fstat(descriptor).st_size:
        machine.current.truncate(descriptor, lines_end_offset)
    return lines_end_offset


def end_of_lines(descriptor: int) -> int:
    """Where the last whole line of a file ends."""
    block_end = os.fstat(descriptor).st_size
    while block_end > 0:
        block_start = max(0, block_end - BLOCK_BYTES)
        newline_position = os.pread(descriptor, block_end - block_start, block_start).rfind(b"\n")
        if newline_position >= 0:
            return block_start + newline_position + 1
        block_end = block_start
    return block_end
