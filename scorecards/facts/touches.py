"""Who each activity concerned: a row for every account, person and deal it was with, links included.

Tickets too where the activity does not name them itself, only a link or its copy in another CRM does: what they are
looked up by.

What somebody wants to know of a contact, an account or a deal (who approached them, when they were last spoken to)
is looked up here by party; the facts of persons and accounts are made of these rows.
"""

from collections.abc import Iterable, Iterator
from itertools import groupby
from operator import itemgetter
from typing import Any

from scorecards.facts.activities import REACHING
from scorecards.facts.fact import THERE, Book, Fact, Row, table

_LINKS = "activity_links l ON l.activity_id = {0}.id AND l.is_deleted = 0 AND l.object_id IS NOT NULL"
_COPIES = f"temp.wanted w CROSS JOIN activities k ON k.dup_of = w.id AND {THERE.format('k')}"
#: Whom an activity is linked to (`by` 0), or a copy of it is (1) or names (2).
_OTHERS = f"""
    SELECT w.id, l.object, l.object_id, 0 AS by FROM temp.wanted w LEFT JOIN {_LINKS.format("w")}
    UNION ALL SELECT w.id, l.object, l.object_id, 1 FROM {_COPIES} CROSS JOIN {_LINKS.format("k")}
    UNION ALL SELECT w.id, n.object, CASE n.object WHEN 'accounts' THEN k.account_id WHEN 'contacts' THEN k.contact_id
        WHEN 'leads' THEN k.lead_id WHEN 'opportunities' THEN k.opportunity_id ELSE k.ticket_id END, 2
    FROM {_COPIES} CROSS JOIN (SELECT 'accounts' AS object UNION ALL SELECT 'contacts' UNION ALL SELECT 'leads'
        UNION ALL SELECT 'opportunities' UNION ALL SELECT 'tickets') n
"""
_TOUCHES = f"""
    SELECT a.id, a.occurred_at, a.type, a.direction, a.status, a.is_human, a.connected, a.bounced,
           a.thread_id, a.is_touch, a.is_outreach, a.contact_id, a.lead_id, a.account_id, a.opportunity_id,
           a.ticket_id, l.object, COALESCE(ll.canonical, l.object_id),
           COALESCE(la.canonical, c.account_id, o.account_id, t.account_id), mc.is_test, ml.is_test,
           CASE l.object WHEN 'contacts' THEN c.is_test WHEN 'leads' THEN d.is_test END, l.by, a.created_at
    FROM ({_OTHERS}) l CROSS JOIN fact_activities a ON a.id = l.id
    LEFT JOIN contacts mc ON mc.id = a.contact_id
    LEFT JOIN leads ml ON ml.id = a.lead_id
    LEFT JOIN aliases ll ON ll.id = l.object_id
    LEFT JOIN contacts c ON c.id = COALESCE(ll.canonical, l.object_id)
    LEFT JOIN leads d ON d.id = COALESCE(ll.canonical, l.object_id) AND l.object = 'leads'
    LEFT JOIN opportunities o ON o.id = COALESCE(ll.canonical, l.object_id)
    LEFT JOIN tickets t ON t.id = COALESCE(ll.canonical, l.object_id)
    LEFT JOIN aliases la ON la.id = COALESCE(c.account_id, o.account_id, t.account_id)
    ORDER BY a.id, l.by, l.object_id
"""
#: What a copy names is looked up by the row that counts, whose own account is settled: it brings none.
_NAMED_BY_COPY = 2
#: The tables a party is a row of, and where the activity itself names one.
_PARTIES = ("accounts", "contacts", "leads", "opportunities")


def _touches(rows: Iterable[Row], book: Book) -> Iterator[Row]:
    for _, group in groupby(rows, itemgetter(0)):
        yield from _parties_of(list(group))


def _parties_of(rows: list[Row]) -> Iterator[Row]:
    """The parties of one activity: those it names itself first, then those it is linked to.

    A person who is a test, such as a colleague kept as a contact, is no party; with nobody else it touched nobody (G4).
    """
    id_, occurred, kind, direction, status, human, connected, bounced = rows[0][:8]
    thread, is_touch, is_outreach, contact, lead, account, deal, ticket = rows[0][8:16]
    created = rows[0][23]
    is_test_contact, is_test_lead = rows[0][19:21]
    contact, lead = (None if is_test_contact else contact), (None if is_test_lead else lead)
    had_tests = bool(is_test_contact or is_test_lead)
    # Dicts, for they keep an order: the first of each is the one the CRM has on the activity itself.
    found: dict[str, dict[str, None]] = {name: {} for name in _PARTIES}
    for name, own in zip(_PARTIES, (account, contact, lead, deal), strict=True):
        if own is not None:
            found[name][own] = None
    found["tickets"] = {}
    for row in rows:
        linked, party, its_account, _, _, is_test, by = row[16:23]
        if is_test:
            had_tests = True
            continue
        if linked in found and party is not None and (party != ticket or by == _NAMED_BY_COPY):
            found[linked][party] = None
        if its_account is not None and by != _NAMED_BY_COPY:
            found["accounts"][its_account] = None
    if had_tests and not found["contacts"] and not found["leads"]:
        return
    done = status == "completed"
    is_ours_alone = kind == "note" or (kind == "task" and direction in (None, "internal"))
    is_inbound = done and human and direction == "inbound" and kind in REACHING
    flags: list[Any] = [
        is_touch,
        is_outreach,
        # Reached them, as far as anybody knows: a bounced mail did not, a call nobody took did.
        int(bool(is_outreach and kind != "chat" and not bounced)),
        int(bool(is_inbound)),
        # A held meeting and a call somebody took are talked in, whoever began them.
        int(bool(is_inbound or (done and human and (kind == "meeting" or (kind == "call" and connected == 1))))),
        int(bool(done and human and not is_ours_alone)),
        int(bool(done and kind == "call" and connected == 1)),
        int(bool(is_outreach and kind == "call" and connected in (None, 1))),  # nobody says that it was not
    ]
    if not any(flags):
        # A plan, a note, a machine's mail: it touched nobody, and may be work on a ticket all the same.
        found = {"tickets": found["tickets"]}
    # An action is one with the account, else with the contact, else with the lead; a person is a contact, else a lead.
    party_in = next((name for name in ("accounts", "contacts", "leads") if found.get(name)), "")
    person_in = next((name for name in ("contacts", "leads") if found.get(name)), "")
    if not person_in and kind == "email" and any(flags):
        found["nobody"], person_in = {id_: None}, "nobody"  # a mail to an address no CRM knows is a mail all the same
    for name, parties in found.items():
        for place, party in enumerate(parties):
            is_person, is_party = int(name == person_in), int(name == party_in)
            yield (id_, name, party, int(place == 0), int(len(parties) == 1), is_person, is_party,
                   occurred, kind, direction, thread, *flags, created)  # fmt: skip


_COLUMNS = (
    "id", "object", "party_id", "is_main", "is_alone", "is_person", "is_party", "occurred_at", "type", "direction",
    "thread_id", "is_touch", "is_outreach", "is_approach", "is_inbound", "is_reply", "is_action", "is_connected",
    "is_answered", "created_at",
)  # fmt: skip

#: A mail one person sent another, or an answer to one.
MAIL = "type = 'email' AND is_person = 1 AND (is_approach = 1 OR is_inbound = 1)"


#: Whom we got in touch with: what a lead was answered by, or the contact it became.
_REACHED_OUT = "CASE WHEN object = '{0}' AND is_outreach = 1 THEN party_id END"


FACT = Fact(
    kind="touches",
    name="fact_touches",
    columns=_COLUMNS,
    ddl=table(
        "fact_touches",
        _COLUMNS,
        "(id)",
        "(occurred_at)",
        "(occurred_at, object, created_at, party_id) WHERE is_outreach = 1",
        "(party_id, occurred_at, is_touch, is_outreach)",
        # Runs are made of hundreds of rows a party: read from the index alone.
        "(party_id, occurred_at, id, object, type) WHERE is_party = 1 AND is_action = 1",
        "(thread_id, occurred_at) WHERE thread_id IS NOT NULL AND type = 'email'",
    ),
    read=_TOUCHES,
    derive=_touches,
    follows={"activity_links": ("activity_id",)},
    through=(
        *(
            (table_, "account_id", "activity_links", "object_id", "activity_id")
            for table_ in ("contacts", "opportunities", "tickets")
        ),
        *(
            (table_, "is_test", between, column, unit)
            for table_, own in (("contacts", "contact_id"), ("leads", "lead_id"))
            for between, column, unit in (("activity_links", "object_id", "activity_id"), ("activities", own, "id"))
        ),
    ),
    feeds={
        "approaches": "CASE WHEN is_person = 1 AND object <> 'nobody' AND (is_approach = 1 OR is_reply = 1)"
        " THEN party_id END",
        "thread_mails": f"CASE WHEN {MAIL} THEN thread_id END",
        "sent_mails": f"CASE WHEN {MAIL} THEN party_id END",
        "engagements": "CASE WHEN is_party = 1 AND is_action = 1 THEN party_id END",
        "contacts": "CASE WHEN object = 'contacts' AND is_action = 1 THEN party_id END",
        "seen_to": "CASE WHEN object = 'tickets' OR (object IN ('accounts', 'opportunities') AND is_action = 1)"
        " THEN party_id END",
        "tickets": "CASE WHEN object = 'tickets' THEN party_id END",
        "leads": _REACHED_OUT.format("leads"),
    },
    passes=(("leads", _REACHED_OUT.format("contacts"), "leads", "converted_contact_id"),),
    anchors=("occurred_at",),
    version=3,
)
