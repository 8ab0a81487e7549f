"""Values as text, durations and sizes in human notation, secrets removed."""
