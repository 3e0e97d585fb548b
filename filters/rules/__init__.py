"""Rules over the text of trajectories and tasks: no model is asked."""
