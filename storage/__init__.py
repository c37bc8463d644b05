"""The database, the artifact store and the bundles."""
