"""The database of the studies and the artifact store."""
