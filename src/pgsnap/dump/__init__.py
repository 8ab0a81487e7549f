"""The text of a dump <-> sections: lexer, entries, reader, volatile lines. No I/O, no server."""
