"""own_schema: a user's own JSON Schema as the form of the output."""
