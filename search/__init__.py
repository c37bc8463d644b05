"""Studies, their workers and their objectives: the one place where an Optuna trial meets training."""
