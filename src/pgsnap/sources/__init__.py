"""Where dumps come from."""
