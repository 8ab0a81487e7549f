"""Files below folders that somebody else may have written to."""
