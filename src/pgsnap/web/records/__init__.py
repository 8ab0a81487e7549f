"""Pages about what is recorded beside the contents: runs, proofs, copies; and the search."""
