"""Trajectories written by a student: the rollout, what it is shown, and the engines that decode."""
