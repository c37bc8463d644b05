"""Search spaces: an Optuna trial's params become a typed config here and nowhere else."""
