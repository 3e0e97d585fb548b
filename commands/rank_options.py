"""The options of a run that is one of several ranks: which share they name, and which others they go with."""

from __future__ import annotations

from collections.abc import Mapping

from dmforge.curation.lake.partition import Share
from dmforge.schemas.errors import InputError


def share_of_rank(rank: int | None, world_size: int | None, rank_options: Mapping[str, object]) -> Share | None:
    """The share of a rank, or None for a run without ranks."""
    given_options = {option_name for option_name, option_value in rank_options.items() if option_value}
    if rank is None and world_size is None:
        if "--wait-timeout" in given_options:
            hint = "leave it out, or give --rank and --world-size"
            raise InputError("`--wait-timeout` needs `--rank` and `--world-size`", where="--wait-timeout", hint=hint)
        return None
    if rank is None or world_size is None or rank >= world_size:
        range_message = f"there is no rank {rank} of {world_size}"
        raise InputError(range_message, where="--rank", hint="give --rank R --world-size W, with R from 0 to W - 1")
    if given_options - {"--wait-timeout"}:
        hint = "leave it out; do that first, in a run without ranks"
        raise InputError(
            "not available in a run with ranks", where=", ".join(sorted(given_options - {"--wait-timeout"})), hint=hint
        )
    return Share(rank, world_size)
