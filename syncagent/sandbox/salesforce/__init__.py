"""The sandbox's Salesforce: one server over the company, with everything an org can do."""
