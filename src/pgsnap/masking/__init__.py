"""Replacing values of a dump on their way out: rules, what they make of a value, the filter."""
