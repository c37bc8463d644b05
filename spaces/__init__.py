"""Search spaces: the only place where an Optuna trial's params become a typed config."""
