"""Text and links from CRMs before they are shown."""

import pytest

from scorecards.render import _nolink
from scorecards.render.clean import CAP, clean, safe_stop, safe_url


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (None, ""),
        ("  a \r\n\t b\u2028c\u2029d\u0085e ", "a b c d e"),
        ("evil\u202egpj.exe\u2066\u2069", "evilgpj.exe"),
        ("a\u0000b\u0007c\u009bd\u200be\ufefff\u2060g\u00adh", "abcdefgh"),
        ("می\u200cخواهم", "می\u200cخواهم"),  # ZWNJ is spelling in Persian
        ("👩\u200d💻", "👩\u200d💻"),  # ZWJ holds an emoji together
        ("شركة النور", "شركة النور"),
        ("\ud800x", "x"),
        ("e" + "\u0301" * 20, "e" + "\u0301" * 3),
    ],
)
def test_invisible_and_turning_characters_go_and_letters_stay(text: str | None, shown: str) -> None:
    assert clean(text) == shown


def test_long_text_is_cut_at_a_word_and_marked() -> None:
    assert clean("word " * 40) == ("word " * 15).strip() + "…"
    assert len(clean("W" * 400)) == CAP
    assert clean("e\u0301" * 60, 10) == "e\u0301e\u0301e\u0301e\u0301e…"


def test_nothing_in_text_is_left_for_a_client_to_link() -> None:
    shown = str(_nolink("http://evil.com/x <b> bad@evil.com 3.5"))
    web, mail = "http<span>:</span>//evil<span>.</span>com/x", "bad<span>@</span>evil<span>.</span>com"
    assert shown == f"{web} &lt;b&gt; {mail} 3<span>.</span>5"


@pytest.mark.parametrize(
    "url",
    [
        "https://acme.lightning.force.com/lightning/r/Opportunity/006xx/view",
        "https://app-eu1.hubspot.com/contacts/1/record/0-3/2?x=1&y=2#z",
        "https://crm.example.com:8443/o/1",
    ],
)
def test_https_links_to_hosts_pass(url: str) -> None:
    assert safe_url(url) == url


@pytest.mark.parametrize(
    "url",
    [
        None,
        "",
        "http://127.0.0.1:8080/o/1",
        "http://crm.example.com/o/1",
        "javascript:alert(1)",
        "JaVaScRiPt:alert(1)",
        "data:text/html,x",
        "//crm.example.com/o",
        "/o/1",
        "https://",
        "https://localhost/x",
        "https://user:pw@crm.example.com/",
        "https://crm.example.com/\r\nx",
        "https://crm.example.com/a b",
        'https://crm.example.com/"onmouseover="x',
        "https://crm.example.com/<script>",
        "https://crm.example.com\\@evil.com/",
        "https://crm.exаmple.com/",  # a Cyrillic letter
        "https://crm.example.com:99999/",
        "https://[::1]/x",
        "https://crm.example.com/" + "a" * 2000,
    ],
)
def test_anything_else_is_not_linked(url: str | None) -> None:
    assert safe_url(url) is None


def test_the_stop_link_is_a_plain_mailto_or_https() -> None:
    assert safe_stop("mailto:scorecards@acme.com?subject=stop") == "mailto:scorecards@acme.com?subject=stop"
    assert safe_stop("https://acme.com/stop?t=1") == "https://acme.com/stop?t=1"
    assert safe_stop('mailto:x@acme.com" onclick="y') is None
    assert safe_stop("javascript:alert(1)") is None
