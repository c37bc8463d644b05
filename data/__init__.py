"""Images, masks, labels and splits; imports nothing of networks, Optuna or the command line."""
