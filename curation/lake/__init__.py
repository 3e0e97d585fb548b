"""The lake: append-only Parquet parts that exist only through commits; resumable, exact, and read with DuckDB."""
