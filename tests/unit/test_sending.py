"""Sending by hand: the due one once, again on request, and tests that leave no trace in the ledger."""

import email
import email.policy
from collections.abc import Iterator
from datetime import datetime, timedelta
from email.message import EmailMessage
from pathlib import Path

import pytest

from scorecards.values import instant
from syncagent import archive, ledger, outbox, runs
from syncagent.errors import DeliveryError, Refused, UsageError
from syncagent.mailer import Mailer
from syncagent.preview import preview, write_preview
from syncagent.sending import Sent, send_now
from tests.fakes.desk import DUE, Desk, desk_in
from tests.fakes.smtp import Fault, FaultServer

NOW = DUE + timedelta(hours=1)


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    with desk_in(tmp_path) as made:
        yield made


def send(
    desk: Desk, at: datetime = NOW, *, as_of: datetime | None = None, to: str | None = None, again: bool = False
) -> Sent:
    return send_now(desk.config, desk.cache, desk.state, "sales", clock=lambda: at, as_of=as_of, to=to, again=again)


def message(desk: Desk, outbox_id: int) -> EmailMessage:
    row = desk.state.execute("SELECT mime FROM outbox WHERE id = ?", (outbox_id,)).fetchone()
    return email.message_from_bytes(row["mime"], policy=email.policy.default)


def run_states(desk: Desk) -> list[tuple[str, str]]:
    return [(entry["due_at"], entry["state"]) for entry in ledger.list_runs(desk.state)]


def test_the_newest_due_run_is_sent_and_recorded(desk: Desk) -> None:
    sent = send(desk)
    assert (sent.due_at, sent.kind, len(sent.outbox_ids)) == (DUE, "due", 2)
    assert run_states(desk) == [(instant(DUE), "due")]
    first = message(desk, sent.outbox_ids[0])
    assert first["Date"].datetime == DUE
    assert first["X-Syncagent-Issue"] == "1"
    assert first["X-Syncagent-Period"] == "2026-10-26..2026-11-02"


def test_a_due_run_is_sent_once_by_hand_and_by_the_daemon_together(desk: Desk) -> None:
    runs.tick(desk.config, desk.cache, desk.state, clock=lambda: DUE - timedelta(hours=1))
    send(desk)
    runs.tick(desk.config, desk.cache, desk.state, clock=lambda: NOW)
    with pytest.raises(Refused, match=r"sales due 2026-11-02T07:00:00Z is already on its way\. Use --again"):
        send(desk)
    assert len(outbox.list_messages(desk.state)) == 2


def test_again_is_a_message_of_its_own_with_the_same_number(desk: Desk) -> None:
    first, second = send(desk), send(desk, again=True)
    third = send(desk, NOW + timedelta(hours=1), again=True)
    assert [first.kind, second.kind, third.kind] == ["due", "again#1", "again#2"]
    assert first.run_id == second.run_id
    one, two = message(desk, first.outbox_ids[0]), message(desk, second.outbox_ids[0])
    assert one["Message-ID"] != two["Message-ID"]
    assert one["X-Syncagent-Issue"] == two["X-Syncagent-Issue"] == "1"
    assert two["Date"].datetime == NOW
    assert len(run_states(desk)) == 1


def test_again_without_an_earlier_one_is_the_due_one(desk: Desk) -> None:
    assert send(desk, again=True).kind == "due"


def test_a_test_goes_to_one_address_marked_and_unrecorded(desk: Desk) -> None:
    sent = send(desk, to="someone@acme.test")
    shown = message(desk, sent.outbox_ids[0])
    assert [box.addr_spec for box in shown["To"].addresses] == ["someone@acme.test"]
    assert shown["X-Syncagent-Test"] == "yes"
    assert shown["X-Syncagent-Issue"] is None
    assert run_states(desk) == []
    assert send(desk, to="someone@acme.test").kind == "test#2"
    assert send(desk).kind == "due"


def test_a_test_to_a_known_reader_has_their_locale(desk: Desk) -> None:
    sent = send(desk, to="hans@acme.test")
    body = message(desk, sent.outbox_ids[0]).get_body(("plain",))
    assert body is not None
    assert "1.000" in body.get_content()


@pytest.mark.parametrize(
    ("to", "error", "says"),
    [
        ("spy@elsewhere.test", Refused, "outside the allowed domains. Allowed are acme.test"),
        ("nobody", UsageError, "is not a mail address"),
        ("zoë@acme.test", UsageError, "cannot be delivered"),
    ],
)
def test_an_address_that_may_not_or_cannot_be_is_refused(
    desk: Desk, to: str, error: type[Exception], says: str
) -> None:
    with pytest.raises(error, match=says):
        send(desk, to=to)


def test_as_of_is_a_run_of_its_own(desk: Desk) -> None:
    moment = DUE - timedelta(days=3, hours=2)
    sent = send(desk, as_of=moment)
    assert sent.due_at == moment
    with pytest.raises(Refused):
        send(desk, as_of=moment)
    assert message(desk, sent.outbox_ids[0])["X-Syncagent-Period"] == "2026-10-19..2026-10-26"


def test_late_data_is_refused_unless_it_is_a_test(desk: Desk) -> None:
    desk.synced_at(DUE - timedelta(hours=7))
    with pytest.raises(Refused, match="sales is held, its data is late: desk last synced"):
        send(desk)
    assert run_states(desk) == []
    assert send(desk, to="kim@acme.test").kind == "test#1"
    assert send(desk.with_card(if_stale="mark")).kind == "due"


def test_a_skipped_run_can_be_sent_by_hand(desk: Desk) -> None:
    quiet = desk.with_card(quiet=(DUE.date(),))
    for at in (DUE - timedelta(hours=1), NOW):
        runs.tick(quiet.config, quiet.cache, quiet.state, clock=lambda at=at: at)  # type: ignore[misc]
    assert run_states(desk) == [(instant(DUE), "skipped")]
    assert send(quiet).kind == "due"
    assert run_states(desk) == [(instant(DUE), "due")]


def test_an_unknown_scorecard_is_named_with_the_nearest(desk: Desk) -> None:
    with pytest.raises(UsageError, match=r'there is no scorecard "sale"\. Did you mean "sales"\?'):
        send_now(desk.config, desk.cache, desk.state, "sale", clock=lambda: NOW)


def test_what_was_sent_is_archived_byte_for_byte(desk: Desk) -> None:
    with FaultServer() as server:
        sent = send(desk)
        settings = desk.config.mail.model_copy(update={"port": server.port})  # type: ignore[union-attr]
        outbox.pump(desk.state, Mailer(settings), lambda: NOW, owners=runs.owners(desk.config))
    assert run_states(desk) == [(instant(DUE), "sent")]
    assert {m.recipient: m.body for m in server.accepted} == {
        address: archive.show(desk.state, sent.run_id, address) for address in ("kim@acme.test", "hans@acme.test")
    }
    assert archive.show(desk.state, sent.run_id) == archive.show(desk.state, sent.run_id, "kim@acme.test")
    assert archive.prune(desk.state, NOW + timedelta(days=1)) == 2
    with pytest.raises(UsageError, match="has no message: it is sent"):
        archive.show(desk.state, sent.run_id)
    with pytest.raises(UsageError, match="there is no due run beef"):
        archive.show(desk.state, "beef")


def test_a_failed_delivery_is_told_and_not_sent_twice_by_hand(desk: Desk) -> None:
    with FaultServer([Fault("mail", "550 5.7.60 not your sender")]) as server:
        send(desk)
        settings = desk.config.mail.model_copy(update={"port": server.port})  # type: ignore[union-attr]
        report = outbox.pump(desk.state, Mailer(settings), lambda: NOW)
    assert report.failed == 2
    with pytest.raises(Refused, match=r"is failed\. Use `syncagent outbox retry"):
        send(desk)


def test_a_preview_is_files_and_leaves_no_trace(desk: Desk, tmp_path: Path) -> None:
    shown = preview(desk.config, desk.cache, "sales", as_of=DUE)
    written = write_preview(shown, tmp_path / "look")
    assert {path.name for path in written} >= {"scorecard.html", "scorecard.txt", "scorecard.eml", "k0.png"}
    html = (tmp_path / "look" / "scorecard.html").read_text()
    assert 'src="k0.png"' in html
    assert "cid:" not in html
    parsed = email.message_from_bytes(shown.eml, policy=email.policy.default)
    assert parsed["X-Syncagent-Period"] == "2026-10-26..2026-11-02"
    assert parsed["X-Syncagent-Issue"] is None
    assert run_states(desk) == []
    assert shown == preview(desk.config, desk.cache, "sales", as_of=DUE)


def test_a_preview_that_cannot_be_written_is_one_line(desk: Desk, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(DeliveryError, match=r"cannot be written: .* Choose another folder with --out"):
        write_preview(preview(desk.config, desk.cache, "sales", as_of=DUE), tmp_path / "file")
