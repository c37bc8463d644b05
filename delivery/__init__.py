"""What leaves the house: bundles, ensembles, and the demo that shows all of it."""
