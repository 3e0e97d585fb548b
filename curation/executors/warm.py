"""Imported by the server that killable processes are forked from: what costs time once is paid there, not in each of them."""

import pyarrow as pa

from dmforge.curation.executors import worker

# the first conversion makes Arrow look for pandas, and import it where it is installed: 0.3 s for every process otherwise
pa.array([worker.IDLE])
