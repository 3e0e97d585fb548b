"""A teacher for worlds: it knows the scripts, looks at the pictures that it is sent, and believes nothing else."""
