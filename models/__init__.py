"""Networks and their configs, independent of files, Optuna and the command line."""
