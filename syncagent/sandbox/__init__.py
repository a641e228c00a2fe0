"""Loopback Salesforce, HubSpot and SMTP servers over one generated company: for the demo, tests and trying things.

Production code never knows whether it talks to these.
"""

from syncagent.sandbox.sandbox import Sandbox

__all__ = ["Sandbox"]
