"""Encryption of what is stored: keys, the slots that they are wrapped in, sealed bytes. No I/O."""
