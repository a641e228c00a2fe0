"""Words and looks: data only, no code."""
