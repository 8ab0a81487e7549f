"""Runners: where tools run."""
