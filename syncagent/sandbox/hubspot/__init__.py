"""The sandbox's HubSpot: one server over the company, with everything a portal can do."""
