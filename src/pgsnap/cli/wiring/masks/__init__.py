"""Files of masks, and the secrets that they name."""
