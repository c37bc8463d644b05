"""Networks and their configs. Knows nothing of images on disk, Optuna or the command line."""
