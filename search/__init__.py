"""How a study searches: spec, samplers, ASHA, Pareto fronts, constraints, one-shot design."""
