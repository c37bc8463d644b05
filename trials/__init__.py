"""Run one configuration: fit, evaluate, extract features, boost, predict. No Optuna, no SQL, no Typer."""
