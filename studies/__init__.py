"""Studies: create, open, list, migrate, delete and export them."""
