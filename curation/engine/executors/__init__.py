"""Executors run stages: in killable processes, with many requests in flight, or as a stream; the driver commits the results."""
