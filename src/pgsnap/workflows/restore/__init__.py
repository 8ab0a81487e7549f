"""Restore: the plan, and what it does."""
