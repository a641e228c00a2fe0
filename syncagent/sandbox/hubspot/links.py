"""Which HubSpot objects may be linked, and under which association types."""

#: (from, to) -> (type id, label) pairs a link carries; the first is the primary one where there is such a thing.
ASSOCIATIONS: dict[tuple[str, str], tuple[tuple[int, str | None], ...]] = {
    ("contacts", "companies"): ((1, "Primary"), (279, None)),
    ("companies", "contacts"): ((2, "Primary"), (280, None)),
    ("deals", "companies"): ((5, "Primary"), (341, None)),
    ("companies", "deals"): ((6, "Primary"), (342, None)),
    ("deals", "contacts"): ((3, None),),
    ("contacts", "deals"): ((4, None),),
    ("tickets", "companies"): ((26, "Primary"), (339, None)),
    ("companies", "tickets"): ((25, "Primary"), (340, None)),
    ("tickets", "contacts"): ((16, None),),
    ("contacts", "tickets"): ((15, None),),
    ("leads", "contacts"): ((578, "Primary"), (608, None)),
    ("contacts", "leads"): ((579, "Primary"), (609, None)),
    ("leads", "companies"): ((610, None),),
    ("companies", "leads"): ((611, None),),
    ("leads", "deals"): ((583, None),),
    ("deals", "leads"): ((584, None),),
    ("feedback_submissions", "contacts"): ((98, None),),
    ("feedback_submissions", "tickets"): ((97, None),),
    ("contacts", "feedback_submissions"): ((99, None),),
    ("tickets", "feedback_submissions"): ((100, None),),
    ("deals", "line_items"): ((19, None),),
    ("line_items", "deals"): ((20, None),),
    ("orders", "line_items"): ((513, None),),
    ("line_items", "orders"): ((514, None),),
    ("orders", "companies"): ((509, None),),
    ("companies", "orders"): ((510, None),),
    ("invoices", "companies"): ((179, None),),
    ("companies", "invoices"): ((180, None),),
    ("commerce_payments", "invoices"): ((542, None),),
    ("invoices", "commerce_payments"): ((541, None),),
}
for _number, (_kind, _ids) in enumerate(
    {
        "calls": (194, 182, 206, 220, 596),
        "emails": (198, 186, 210, 224, 598),
        "meetings": (200, 188, 212, 226, 600),
        "notes": (202, 190, 214, 228, 602),
        "tasks": (204, 192, 216, 230, 604),
    }.items()
):
    for _target, _id in zip(("contacts", "companies", "deals", "tickets", "leads"), _ids, strict=True):
        ASSOCIATIONS[_kind, _target] = ((_id, None),)
        ASSOCIATIONS[_target, _kind] = ((_id - 1, None),)
