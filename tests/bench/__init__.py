"""Measurements for people: `python -m tests.bench`."""
