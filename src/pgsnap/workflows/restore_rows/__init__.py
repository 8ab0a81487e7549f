"""The verb `restore --table --rows`: single rows go back into a live table."""
