"""Files in: CSV and JSON Lines under an admin's mapping; `connector` is the door."""
