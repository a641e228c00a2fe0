"""HubSpot in: its objects through hubspot-api-client over our transport; `connector` is the door."""
