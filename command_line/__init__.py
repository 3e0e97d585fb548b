"""Groups of commands, which `cli.py` puts together: parse, call, print."""
