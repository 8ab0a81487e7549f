"""What is printed: pages, lines and JSON."""
