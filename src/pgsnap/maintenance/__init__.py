"""What reads and changes the repository's own state: verify, gc, repair, reindex."""
