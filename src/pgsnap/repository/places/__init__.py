"""Where a repository is: a folder, or a store that a URL names."""
