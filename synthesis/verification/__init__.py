"""Verification and rewards: one implementation, pure functions."""
