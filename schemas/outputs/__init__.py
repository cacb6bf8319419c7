"""Phi: the output schema of every built-in task type, one file each."""
