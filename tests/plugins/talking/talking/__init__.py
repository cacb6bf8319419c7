"""A plugin whose expert logs what it hears, and waits while it is told to."""
