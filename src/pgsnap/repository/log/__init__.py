"""The log of a remote repository: what was published there, entry by entry."""
