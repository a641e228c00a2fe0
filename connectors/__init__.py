"""Vendors in: speaks HTTP and a vendor's words; knows nothing of SQLite, KPIs or mail."""
