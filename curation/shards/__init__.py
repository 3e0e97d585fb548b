"""Corpora as plain WebDataset tars."""
