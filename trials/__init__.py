"""Train, evaluate and predict one configuration. No Optuna, no database, no command line."""
