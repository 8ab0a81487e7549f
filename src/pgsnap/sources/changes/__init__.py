"""Change detection: which blocks of which tables may have changed since an earlier snapshot."""
