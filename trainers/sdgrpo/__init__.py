"""SD-GRPO: rollouts, rewards, advantages for each segment, and the update."""
