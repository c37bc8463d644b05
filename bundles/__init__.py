"""Read, write, use and verify bundles. No database, no Optuna, no command line."""
