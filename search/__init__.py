"""Studies begun, found, moved and deleted."""
