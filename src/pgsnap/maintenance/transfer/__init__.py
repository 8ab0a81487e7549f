"""Copying what one repository has and another lacks: chunks, manifests, notes."""
