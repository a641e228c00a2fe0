"""Stand-ins with the shape of the real thing, for tests that need to script it."""
