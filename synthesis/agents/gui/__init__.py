"""How screen recordings and event logs become trajectories: timelines, steps, the order of fragments."""
