"""HubSpot's small print: rates carried over, mail events and links by their words, ends of API versions, logins."""

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import date
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from connectors.errors import AuthError, ConnectorError, RateLimited, StreamError, TransientError
from connectors.field_words import Custom, Offer
from connectors.fields import FieldMap
from connectors.hubspot.answers import check_events, check_list, failures, total_of
from connectors.hubspot.errors import EdgeRefused, Invalid, Moving, NotThere, Throttled, TokenExpired, error_of
from connectors.hubspot.fetch import merged_ids
from connectors.hubspot.history import deal_history, ticket_history
from connectors.hubspot.limits import learn, make_limiter, most_of
from connectors.hubspot.login import Login
from connectors.hubspot.mail import kind_of, link_kind
from connectors.hubspot.paths import ends_of_release, sunsets
from connectors.hubspot.portal import _reached
from connectors.hubspot.rates import towards
from connectors.hubspot.records import Known, Stage
from connectors.hubspot.settings import HubSpotLimits, HubSpotSettings
from connectors.transport import Answer

BERLIN = ZoneInfo("Europe/Berlin")
DATE = "Fri, 20 Nov 2026 12:00:00 GMT"


# -- rates -------------------------------------------------------------------------------------------------------------

RATES = {"USD": {"2026-01-01": 0.8, "2026-03-01": 0.9}, "GBP": {"2026-02-01": 1.25}}


def _worth(reporting: str) -> dict[tuple[str, str], float]:
    rows = towards(RATES, "EUR", reporting, "1")
    return {(row["currency"], row["valid_from"]): round(row["rate_to_reporting"], 6) for row in rows}


def test_rates_towards_the_portal_s_own_currency_are_as_they_are() -> None:
    assert _worth("EUR") == {("GBP", "2026-02-01"): 1.25, ("USD", "2026-01-01"): 0.8, ("USD", "2026-03-01"): 0.9}


def test_rates_towards_another_currency_go_by_way_of_the_portal_s() -> None:
    assert _worth("USD") == {
        ("EUR", "2026-01-01"): 1.25,  # 1 / 0.8
        ("EUR", "2026-03-01"): 1.111111,
        ("GBP", "2026-02-01"): 1.5625,  # 1.25 / 0.8
        ("GBP", "2026-03-01"): 1.388889,  # the dollar moved
    }


def test_without_a_rate_for_the_currency_of_reports_there_is_none() -> None:
    assert _worth("CHF") == {}


# -- mail --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("event", "kind"),
    [
        ({"type": "SENT"}, "sent"),
        ({"type": "DELIVERED"}, "delivered"),
        ({"type": "SPAMREPORT"}, "spam"),
        ({"type": "PROCESSED"}, None),
        ({"type": "DEFERRED"}, None),
        ({"type": "STATUSCHANGE", "portalSubscriptionStatus": "UNSUBSCRIBED"}, "unsubscribe"),
        ({"type": "STATUSCHANGE", "subscriptions": [{"id": 1, "status": "UNSUBSCRIBED"}]}, "unsubscribe"),
        ({"type": "STATUSCHANGE", "subscriptions": [{"id": 1, "status": "SUBSCRIBED"}, 5]}, None),
        ({"type": "STATUSCHANGE", "subscriptions": "x"}, None),
        ({}, None),
    ],
)
def test_an_event_s_kind(event: dict[str, Any], kind: str | None) -> None:
    assert kind_of(event) == kind


@pytest.mark.parametrize(
    ("url", "kind"),
    [
        ("https://example.com/offer", "content"),
        ("https://x.hs-sites.com/hs/manage-preferences/unsubscribe-all?d=1", "unsubscribe"),
        ("https://x.hs-sites.com/hs/manage-preferences/unsubscribe?d=1", "preferences"),
        ("https://example.com/Unsubscribe/me", "unsubscribe"),
        ("https://example.com/preference-center", "preferences"),
        (None, "content"),
    ],
)
def test_what_a_click_went_to(url: str | None, kind: str) -> None:
    assert link_kind(url) == kind


# -- versions ----------------------------------------------------------------------------------------------------------


def test_a_release_is_kept_for_eighteen_months() -> None:
    assert (ends_of_release("2026-03"), ends_of_release("2026-09")) == (date(2027, 9, 1), date(2028, 3, 1))


def test_what_we_use_and_hubspot_will_end() -> None:
    assert [one.what for one in sunsets(SETTINGS, (), mail=False, calls=False)] == ["HubSpot API release 2026-09"]
    numbered = SETTINGS.model_copy(update={"api_path": "v3"})
    families = ("objects", "associations")
    ends = {one.what: one.ends_on for one in sunsets(numbered, families, mail=True, calls=True)}
    assert ends == {
        "HubSpot associations v4": date(2027, 3, 30),
        "HubSpot numbered paths (v3)": date(2027, 9, 1),
        "HubSpot mail events v1": date(2027, 9, 1),
        "HubSpot call dispositions v1": date(2027, 9, 1),
    }


# -- answers -----------------------------------------------------------------------------------------------------------


def _error(
    status: int, body: bytes = b"", *, refresh: bool = True, zone: ZoneInfo | None = BERLIN, **headers: str
) -> Any:
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    return error_of(Answer(status, {"Date": DATE, **given}, body), refresh, zone)


@pytest.mark.parametrize(
    "body", [b"", b"<html></html>", b'[{"errorCode":"X"}]', b'{"category":"EXPIRED_AUTHENTICATION"}']
)
def test_every_shape_of_401_asks_for_another_token_where_there_is_one(body: bytes) -> None:
    assert isinstance(_error(401, body), TokenExpired)
    assert isinstance(_error(401, body, refresh=False), AuthError)


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, Invalid),
        (403, StreamError),
        (404, NotThere),
        (423, RateLimited),
        (530, EdgeRefused),
        (520, TransientError),
    ],
)
def test_an_error_by_its_status(status: int, kind: type[ConnectorError]) -> None:
    assert isinstance(_error(status), kind)


def test_how_long_to_wait() -> None:
    assert _error(423).retry_after_s == 2.0
    assert isinstance(_error(477, Retry_After="86400"), Moving)
    assert _error(477, Retry_After="86400").retry_after_s == 86_400
    assert _error(477, Retry_After="soon").retry_after_s == 3_600
    assert _error(477, Retry_After="\u00b2").retry_after_s == 3_600  # a digit to `isdigit`, none to `int`
    daily = _error(429, b'{"policyName":"DAILY"}')
    assert isinstance(daily, Throttled)
    assert daily.retry_after_s == pytest.approx(11 * 3600, abs=2)  # 13:00 in Berlin
    assert _error(429, b'{"policyName":"DAILY"}', zone=None).retry_after_s == 900
    assert _error(429, b'{"message":"You have reached your secondly limit."}').policy == "search"
    assert _error(429, b'{"policyName":"TEN_SECONDLY_ROLLING"}').retry_after_s == 10


def test_a_partial_answer_without_ids_is_unclear() -> None:
    assert failures({"errors": [{"category": "INTERNAL_ERROR", "context": {}}]})[2]
    assert failures({"errors": "x"}) == (set(), set(), False)


@pytest.mark.parametrize("document", [None, {}, {"events": None}, {"events": [1]}, "x"])
def test_a_page_without_events_is_an_error(document: Any) -> None:
    with pytest.raises(TransientError):
        check_events(document)
    with pytest.raises(TransientError):
        check_list(document)


def test_a_total_is_a_whole_number_or_nothing() -> None:
    assert [total_of({"total": one}) for one in (5, 0, -1, True, "5", None)] == [5, 0, None, None, None, None]


def test_what_became_part_of_an_object() -> None:
    props = {"hs_merged_object_ids": "1; 2;", "hs_calculated_merged_vids": "3:1600000000000;9:1"}
    assert merged_ids({"id": "9", "properties": props}) == {"1", "2", "3"}
    assert merged_ids({"id": "9", "properties": None}) == set()


@pytest.mark.parametrize(
    ("label", "reached"),
    [("Connected", 1), ("Left voicemail", 0), ("No answer", 0), ("Not connected?", None), (None, None)],
)
def test_an_outcome_of_the_portal_s_own_by_its_label(label: str | None, reached: int | None) -> None:
    assert _reached(label) == reached


def test_versions_that_make_no_sense_are_left_out_of_a_history() -> None:
    given = [
        {"value": "b", "timestamp": "2026-02-01T00:00:00.000Z"},
        {"value": "x", "timestamp": "0001-01-01T00:00:00Z"},
        {"value": "x", "timestamp": "soon"},
        {"timestamp": "2026-01-15T00:00:00Z"},
        "x",
        {"value": "a", "timestamp": "2026-01-01T00:00:00.000Z"},
        {"value": "older", "timestamp": "2026-01-01T00:00:00.000Z"},
    ]
    rows = deal_history({"source_id": "1"}, {"dealstage": given}, Known(), local_day=str)  # type: ignore[dict-item]
    assert [(row["stage"], row["changed_at"]) for row in rows] == [
        ("a", "2026-01-01T00:00:00Z"),
        ("b", "2026-02-01T00:00:00Z"),
    ]


def _version(value: str, day: int) -> dict[str, Any]:
    return {"value": value, "timestamp": f"2026-01-{day:02}T00:00:00.000Z"}


def test_a_stage_that_is_gone_keeps_the_state_that_is_stored() -> None:
    known = Known(stages={"deals": {"a": Stage("A", 0, False, "open")}})
    deal = {"source_id": "1", "state": "lost", "currency": "EUR"}
    stages = [_version("gone", 3), _version("a", 2), _version("gone", 1)]
    rows = deal_history(deal, {"dealstage": stages}, known, local_day=str)
    assert [row.get("state") for row in rows] == [None, "open", "lost"]
    assert ["state" in row for row in rows] == ["stage_order" in row or row is rows[-1] for row in rows]
    assert deal_history(deal | {"state": "won"}, {"dealstage": stages[1:]}, known, local_day=str)[-1]["state"] == "open"


def test_a_ticket_s_status_that_is_gone_keeps_the_category_that_is_stored() -> None:
    known = Known(stages={"tickets": {"1": Stage("New", 0, False, "open")}})
    fields = FieldMap(
        "tickets", (), columns={}, offer=Offer(None), custom=Custom({}, {"status_category": {"w": "pending"}}),
        currency="EUR",
    )  # fmt: skip
    ticket = {"source_id": "1", "status_category": "closed"}
    stages = [_version("gone", 4), _version("w", 3), _version("1", 2), _version("gone", 1)]
    rows = ticket_history(ticket, {"hs_pipeline_stage": stages}, known, fields)
    assert [row.get("status_category") for row in rows] == [None, "open", "pending", "closed"]


def test_what_a_deal_s_history_is_not_told_it_leaves_out() -> None:
    deal = {"source_id": "1", "state": "open", "currency": "EUR"}
    versions = {"dealstage": [_version("a", 1)], "amount": [_version("7", 1)], "closedate": [_version("x", 2)]}
    whole = deal_history(deal, versions, Known(), local_day=str)[-1]
    assert (whole["amount_minor"], whole["currency"], whole["close_date"], whole["seq"]) == (700, "EUR", "x", 2)
    assert (
        not {"amount_minor", "currency", "seq"}
        & deal_history(deal, versions, Known(), local_day=str, untold={"amount"})[-1].keys()
    )
    assert "close_date" not in deal_history(deal, versions, Known(), local_day=str, untold={"closedate"})[-1]
    del deal["currency"]
    assert not {"amount_minor", "currency"} & deal_history(deal, versions, Known(), local_day=str)[-1].keys()


# -- limits ------------------------------------------------------------------------------------------------------------


def _told(maximum: int, remaining: int, interval_ms: int) -> Answer:
    name = "X-HubSpot-RateLimit"
    told = {"Max": maximum, "Remaining": remaining, "Interval-Milliseconds": interval_ms}
    return Answer(200, {f"{name}-{key}": str(value) for key, value in told.items()}, b"")


@pytest.mark.parametrize("window", ["10s", "12s", "20s", "1s"])
def test_what_the_headers_say_holds_for_the_time_they_name(window: str) -> None:
    """Whichever time the settings count calls in."""
    limits = HubSpotLimits.model_validate({"window": window})
    limiter = make_limiter(limits)
    limiter.keep_to("hs", most_of(limits))
    for _ in range(2):
        with limiter.slot("call"):
            learn(limiter, _told(100, 90, 10_000))  # enough are left for the next calls not to wait
    told = next(one for one in limiter.kinds["call"] if one.window_s == 10.0)
    assert told._ceiling == 100
    assert told._foreign >= 7
    assert {one.window_s for one in limiter.kinds["call"]} == {10.0, float(limits.window)}
    with limiter.slot("call"):
        learn(limiter, _told(200, 180, 15_000))  # the vendor has changed its mind
    assert {one.window_s for one in limiter.kinds["call"]} == {15.0, float(limits.window)}


@pytest.mark.parametrize("interval_ms", [0, 1, 10_000_000_000])
def test_headers_of_an_interval_that_makes_no_sense_are_not_believed(interval_ms: int) -> None:
    limits = HubSpotLimits()
    limiter = make_limiter(limits)
    limiter.keep_to("hs", most_of(limits))
    learn(limiter, _told(1, 0, interval_ms))
    assert [(one.window_s, one._ceiling) for one in limiter.kinds["call"]] == [(10.0, 190)]


def test_a_huge_number_over_another_time_takes_no_memory() -> None:
    limits = HubSpotLimits()
    limiter = make_limiter(limits)
    limiter.keep_to("hs", most_of(limits))
    learn(limiter, _told(1_000_000_000, 999_999_999, 60_000))
    assert [one._ceiling for one in limiter.kinds["call"]] == [10_000, 190]


# -- logins ------------------------------------------------------------------------------------------------------------

SETTINGS = HubSpotSettings(type="hubspot", client_id="a", client_secret="b", refresh_token="c")


def _at_most(logins: int, within: str) -> HubSpotSettings:
    limits = HubSpotLimits.model_validate({"logins": logins, "login_window": within})
    return SETTINGS.model_copy(update={"limits": limits})


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


class Endpoint:
    """A token endpoint."""

    def __init__(self) -> None:
        self.calls = 0
        self.refuses = False
        self.life_s = 1800
        self._lock = threading.Lock()

    def __call__(self, _request: Any) -> Answer:
        with self._lock:
            self.calls += 1
        if self.refuses:
            raise AuthError("refused")
        body = b'{"access_token":"t%d","refresh_token":"c","expires_in":%d,"token_type":"bearer"}' % (
            self.calls,
            self.life_s,
        )
        return Answer(200, {"Content-Type": "application/json"}, body)


def test_a_token_is_renewed_at_four_fifths_of_its_life_by_one_thread() -> None:
    clock, endpoint = Clock(), Endpoint()
    login = Login(SETTINGS, "api.hubapi.com", clock=clock)
    for now, tokens in ((0.0, {"t1"}), (1439.0, {"t1"}), (1441.0, {"t2"})):
        clock.now = now
        with ThreadPoolExecutor(8) as threads:
            assert {token for token, _ in threads.map(lambda _: login.token(endpoint), range(16))} == tokens
    assert endpoint.calls == 2


def test_three_logins_in_a_quarter_of_an_hour_are_the_most() -> None:
    clock, endpoint = Clock(), Endpoint()
    login = Login(SETTINGS, "api.hubapi.com", clock=clock)
    for _ in range(3):
        login.forget(login.token(endpoint)[0])
    with pytest.raises(AuthError, match="3 times within 15 minutes"):
        login.token(endpoint)
    endpoint.refuses = True
    clock.now = 1_000.0
    for _ in range(5):
        with pytest.raises(AuthError):
            login.token(endpoint)
    assert endpoint.calls == 6


@pytest.mark.parametrize(("most", "within"), [(3, "2h"), (1, "1d"), (3, "15m")])
def test_a_login_that_goes_well_is_renewed_for_ever(most: int, within: str) -> None:
    """However few vain logins are allowed in however long a time: none of these is vain."""
    clock, endpoint = Clock(), Endpoint()
    login = Login(_at_most(most, within), "api.hubapi.com", clock=clock)
    for minute in range(6 * 60):
        clock.now = minute * 60.0
        login.token(endpoint)
    assert endpoint.calls == 15


def test_a_token_refused_when_its_time_is_over_is_no_vain_login() -> None:
    clock, endpoint = Clock(), Endpoint()
    login = Login(SETTINGS, "api.hubapi.com", clock=clock)
    for _ in range(6):
        token, _logins = login.token(endpoint)
        clock.now += 1500.0
        login.forget(token)
    assert endpoint.calls == 6


def test_a_login_that_goes_well_forgets_those_refused() -> None:
    clock, endpoint = Clock(), Endpoint()
    login = Login(_at_most(3, "1d"), "api.hubapi.com", clock=clock)
    for endpoint.refuses in (True, True, False, True, True, False):
        with suppress(AuthError):
            login.token(endpoint)
        clock.now += 1500.0
    assert endpoint.calls == 6


def test_tokens_of_no_life_at_all_are_not_fetched_without_end() -> None:
    clock, endpoint = Clock(), Endpoint()
    endpoint.life_s = 1
    login = Login(SETTINGS, "api.hubapi.com", clock=clock)
    for clock.now in range(60):
        login.token(endpoint)
    assert endpoint.calls <= 2


def test_a_token_somebody_else_has_renewed_is_not_forgotten() -> None:
    endpoint = Endpoint()
    login = Login(SETTINGS, "api.hubapi.com", clock=Clock())
    old = login.token(endpoint)[0]
    login.forget(old)
    new = login.token(endpoint)[0]
    login.forget(old)
    assert login.token(endpoint) == (new, 0)
