"""A training in a process of its own, which may be made to die right before a step."""

from __future__ import annotations

import sys
from pathlib import Path

import torch

from dmforge.trainers.sdgrpo.sdgrpo import train
from dmforge.trainers.sdgrpo.sdgrpo_settings import read_sdgrpo
from tests.training.child import DiesAfterStep

if __name__ == "__main__":
    torch.set_num_threads(1)
    dies_at = int(sys.argv[2])
    train(read_sdgrpo(Path(sys.argv[1])), [DiesAfterStep(dies_at)] if dies_at else [])
