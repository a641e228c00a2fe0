"""Numbers out: knows read-only SQL, dates and HTML; knows nothing of vendors or SMTP."""
