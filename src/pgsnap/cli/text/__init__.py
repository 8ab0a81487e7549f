"""Values as text, durations and sizes as people write them, secrets left out."""
