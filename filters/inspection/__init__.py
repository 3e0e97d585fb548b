"""Audits of released sets, without a workspace: what is wrong with their rows, and how many are left without those."""
