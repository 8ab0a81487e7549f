-- An index that failed to build is kept up to date, but never used.
SELECT indexrelid::regclass FROM pg_catalog.pg_index WHERE NOT indisvalid;
