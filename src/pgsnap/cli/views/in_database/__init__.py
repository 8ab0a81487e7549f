"""What is changed in the live database itself: plans and results."""
