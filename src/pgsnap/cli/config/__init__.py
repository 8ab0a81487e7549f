"""snap.toml and settings."""
