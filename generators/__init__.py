"""Everything that writes text or pixels: worlds, prompts, teachers, the student and its engines, rollout."""
