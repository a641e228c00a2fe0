"""Which record stands for another today, in SQL over the table `aliases`: for KPIs and for what links records alike.

Knows nothing else: whoever lists tables imports it at no cost.
"""


def standing(sql: str) -> str:
    """A reference (SQL) as the record that stands for it today."""
    return f"COALESCE((SELECT al.canonical FROM aliases al WHERE al.id = {sql}), {sql})"


def filed_under(sql: str) -> str:
    """The ids (SQL) rows of a record may be filed under: of the one that stands for it, and of those it replaced."""
    return f"(SELECT {standing(sql)} AS id UNION ALL SELECT m.id FROM aliases m WHERE m.canonical = {standing(sql)})"
