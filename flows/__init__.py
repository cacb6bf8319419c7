"""Prefect flows, each short enough to read at a glance."""
