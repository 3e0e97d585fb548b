"""How stages are run: in killable processes, many in flight, or as a stream. They finish batches; the driver commits."""
