"""Everything that learns: SFT, SD-GRPO, rewards, evaluation."""
