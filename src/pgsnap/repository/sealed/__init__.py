"""What an encrypted repository needs: its key slots, a store that seals, what was seen of it."""
