"""Notes read: kept databases and verdicts."""
