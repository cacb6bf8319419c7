"""One file for each command group. Module level stays light: what is heavy is imported inside the commands."""
