"""The Python API, which the command line is built on: typed results, no console, nothing heavy before it is needed."""
