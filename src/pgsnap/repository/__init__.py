"""The only owner of repository state: packs, index, tags, notes, locks."""
