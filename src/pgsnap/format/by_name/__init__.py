"""Parts of objects whose fields are read by name, not by number: JSON."""
