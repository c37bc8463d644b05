"""Who may run a trial: claims, signs of life and ends, as statements on Optuna's tables."""
