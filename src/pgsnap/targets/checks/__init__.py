"""What must be known of a server before anything on it is changed."""
