"""The page in a browser: what serves it, what it is made over, and how its jobs run."""
