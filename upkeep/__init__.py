"""Database, store and lost trials kept in order."""
