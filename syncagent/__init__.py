"""The agent: wiring, time, storage and delivery."""

__version__ = "0.1.0"
