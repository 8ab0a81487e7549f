"""`snap run`: a commit, a command of the user's, and what follows from how it ended."""
