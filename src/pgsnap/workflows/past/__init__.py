"""Tables as they were in a snapshot, read from its chunks without a server."""
