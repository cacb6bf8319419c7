"""What writes structured outputs: rules, or a model."""
