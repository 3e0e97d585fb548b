"""The finaliser of splitmix64, over arrays: every bit of what goes in decides every bit of what comes out."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt


def mix_bits(values: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """Hash integers; each input bit flips about half of the output bits, and multiplications wrap around."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))
