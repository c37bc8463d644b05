"""Analyses of a study: cost, search space, trials, ranking, and replays of its curves."""
