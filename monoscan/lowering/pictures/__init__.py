"""Pictures of plans: the network of a strategy as SVG, a plan as HTML."""
