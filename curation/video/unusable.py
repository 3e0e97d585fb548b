"""The reasons why a video can't be used: a fixed list, so that they can be counted."""

from __future__ import annotations

from typing import Literal

from dmforge.schemas.errors import InputError

Reason = Literal[
    "not a video",
    "no video stream",
    "no decoder",
    "no frames",
    "no times",
    "damaged",
    "orientation",
    "colours",
    "changes size",
    "too long",
    "too short",
    "too small",
    "beyond the end",
    "not this backend",
    "not installed",
]

MENDS: dict[Reason, str] = {
    "not a video": "bring the file again: it is empty, of another kind, or cut off before its index",
    "no video stream": "leave it out: it holds sound or text only",
    "no decoder": "encode it again, in H.264 say; if it is encrypted, bring it decrypted",
    "no frames": "bring the file again: it holds no picture",
    "no times": "remux it with a tool that writes timestamps; bring several recordings as several files",
    "damaged": "bring the file again from where it came",
    "orientation": "encode it again, upright",
    "colours": "encode it again, in BT.709 say",
    "changes size": "bring its parts as files of their own, or encode it again at one size",
    "too long": "cut it, or raise longest_s in [stages.ingest]",
    "too short": "leave it out, or lower shortest_s in [stages.ingest]",
    "too small": "bring it at its full size, or lower min_side_px in [stages.ingest]",
    "beyond the end": "ask for times inside the video",
    "not this backend": "use --backend pyav, which reads it",
    "not installed": "install it, or use --backend pyav",
}


class UnusableVideo(InputError):
    """A video can't be used, or not in the way that was asked for."""

    def __init__(self, reason: Reason, detail: str = "", *, where: str = "") -> None:
        """`detail` specifies the reason; it must not vary from run to run."""
        super().__init__(f"{reason}: {detail}" if detail else reason, where=where, hint=MENDS[reason])
        self.reason, self.detail = reason, detail

    def __reduce__(self):  # pyright: ignore[reportIncompatibleMethodOverride] (built from other arguments)
        return _rebuild, (self.reason, self.detail, self.where)


def _rebuild(reason: Reason, detail: str, where: str) -> UnusableVideo:
    return UnusableVideo(reason, detail, where=where)
