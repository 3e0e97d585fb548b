"""What the command line and the Python API call: each module is one command, from its arguments to its result."""
