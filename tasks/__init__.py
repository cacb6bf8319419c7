"""Prefect tasks: the only place that assembles Ray Data and opens catalog sessions."""
