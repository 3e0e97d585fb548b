"""Seeds that mean something to the watched process: over the first it dies every time, over the second it stands still once."""

DEADLY, NUMBING = 666, 777
