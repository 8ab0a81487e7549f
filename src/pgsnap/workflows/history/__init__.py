"""History: lists snapshots, shows their contents and their sizes."""
