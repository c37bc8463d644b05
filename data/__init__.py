"""Images, masks, labels and splits. Knows nothing of networks, Optuna or the command line."""
