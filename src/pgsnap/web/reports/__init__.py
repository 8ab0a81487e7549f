"""Reports: pages as one file that stands alone."""
