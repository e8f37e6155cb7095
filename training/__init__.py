"""How the model gets better: recipes, runs, the gate, promotion, the operator page."""
