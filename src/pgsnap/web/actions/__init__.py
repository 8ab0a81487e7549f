"""What the page can do: verbs as forms, and the jobs that run them."""
