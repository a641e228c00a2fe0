"""Salesforce in: SOQL through simple-salesforce over our transport; `connector` is the door."""
