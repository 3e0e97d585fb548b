"""Runs stages on a Ray cluster. Workers come and go; the driver alone asks teachers, and alone commits."""
