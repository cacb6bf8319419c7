"""The face: the `dataclaw` command and the viewer. Nothing imports it."""
