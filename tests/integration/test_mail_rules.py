"""The rules a scorecard mail must keep, on four messages as they go to the SMTP server: size, parts, links, pictures.

The same rules are checked once more by the checker beside the repository, where it is present.
"""

import email
import email.policy
import re
import struct
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime
from email.message import EmailMessage
from html.parser import HTMLParser
from pathlib import Path

import pytest

from scorecards.render import render
from scorecards.render.message import Issue
from syncagent.compose import compose, mailbox, message_id
from syncagent.mailer import MailSettings
from tests.fakes.issue import HOSTILE, hostile_issue, issue, long_issue, missing_issue

CHECKER = Path(__file__).parents[3] / "shared" / "checks" / "email" / "check_eml.py"
MAIL = MailSettings.model_validate(
    {
        "host": "127.0.0.1",
        "from": "Acme Scorecards <scorecards@acme.example>",
        "unsubscribe": "mailto:scorecards@acme.example?subject=stop",
    }
)
FIXTURES = {
    "normal": issue(),
    "hostile": hostile_issue(),
    "missing": missing_issue(),
    "long": long_issue(),
    "german": issue(locale="de-DE", timezone="Europe/Vienna"),
    "test": issue(is_test=True, notes=("Week 45 was not sent: the mail server was down.",)),
}


def bytes_of(made: Issue) -> bytes:
    """The message of an issue as it is handed over."""
    sender, to = mailbox(MAIL.from_), mailbox(made.recipient)
    return compose(
        made,
        render(made),
        MAIL,
        to=to,
        message_id=message_id(made.name, made.due_at, to.address, sender),
        sent_at=datetime(2026, 11, 16, 7, 0, 5, tzinfo=UTC),
    )


class Page(HTMLParser):
    """Tags and attributes of a page."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, {name: value or "" for name, value in attrs}))

    def all(self, tag: str) -> list[dict[str, str]]:
        return [attrs for name, attrs in self.tags if name == tag]


class Mail:
    """A message taken apart."""

    def __init__(self, raw: bytes) -> None:
        self.raw = raw
        self.message = email.message_from_bytes(raw, policy=email.policy.default)
        self.html = self.part("html")
        self.text = self.part("plain")
        self.page = Page(self.html)
        self.pictures: dict[str, EmailMessage] = {
            str(part["Content-ID"]).strip("<>"): part for part in self.message.walk() if part["Content-ID"]
        }

    def part(self, kind: str) -> str:
        body = self.message.get_body((kind,))
        assert body is not None
        return str(body.get_content())


@pytest.fixture(scope="module", params=FIXTURES)
def mail(request: pytest.FixtureRequest) -> Mail:
    return Mail(bytes_of(FIXTURES[request.param]))


def test_the_html_is_small_and_its_styles_simple(mail: Mail) -> None:
    styles = re.findall(r"<style[^>]*>(.*?)</style>", mail.html, re.S)
    assert len(mail.html.encode()) < 60_000
    assert sum(map(len, styles)) < 8192
    assert not any(re.search(r"@[\w-]+[^{}]*\{[^{}]*@", style) for style in styles)
    assert not re.search(r"data:image|url\(|@import|@font-face|position\s*:|display\s*:\s*(flex|grid)", mail.html)
    assert not re.search(r"var\(|rgba\(|\drem\b", mail.html)


def test_nothing_runs_and_nothing_is_fetched(mail: Mail) -> None:
    forbidden = {"svg", "script", "form", "input", "video", "audio", "iframe", "object", "embed", "link", "base"}
    assert not forbidden & {tag for tag, _ in mail.page.tags}
    assert not [name for _, attrs in mail.page.tags for name in attrs if name.startswith("on")]
    assert {attrs["src"].partition(":")[0] for attrs in mail.page.all("img")} <= {"cid"}
    assert all(re.match(r"(https://|mailto:)", attrs["href"]) for attrs in mail.page.all("a"))


def test_each_picture_is_attached_named_and_described(mail: Mail) -> None:
    images = mail.page.all("img")
    assert {attrs["src"][4:] for attrs in images} == set(mail.pictures)
    for attrs in images:
        part = mail.pictures[attrs["src"][4:]]
        png = part.get_content()
        assert part.get_content_disposition() == "inline"
        assert len(png) < 4096
        assert struct.unpack(">II", png[16:24]) == (int(attrs["width"]) * 2, int(attrs["height"]) * 2)
        assert re.match(r"(Rising|Falling|Level) over \d+ weeks, ", attrs["alt"])


def test_layout_tables_say_so_and_data_tables_have_captions_and_row_headers(mail: Mail) -> None:
    data = [attrs for attrs in mail.page.all("table") if attrs.get("role") != "presentation"]
    assert len(data) == len(mail.page.all("caption")) > 0
    assert {attrs.get("scope") for attrs in mail.page.all("th")} == {"row"}
    assert len(mail.page.all("h1")) == 1


def test_the_language_is_on_the_page_and_on_the_wrapper(mail: Mail) -> None:
    wrapper = next(attrs for _, attrs in mail.page.tags if attrs.get("role") == "article")
    assert mail.page.all("html")[0]["lang"] == wrapper["lang"] != ""
    assert wrapper["dir"] == "ltr"


def test_no_character_turns_the_direction_or_hides(mail: Mail) -> None:
    assert not re.search("[\u202a-\u202e\u2066-\u2069\u200b\ufeff\x00-\x08]", mail.html + mail.text)


def test_the_text_part_is_complete_and_plain(mail: Mail) -> None:
    assert len(mail.text) > 400
    assert "On target" in mail.text
    assert "<span" not in mail.text
    for words in ("Changed:", "Real?", "Next:", "SOURCES", "As of "):
        assert words in mail.text


def test_the_tree_the_lines_and_the_subject(mail: Mail) -> None:
    kinds = [part.get_content_type() for part in mail.message.walk()]
    assert kinds[:4] == ["multipart/alternative", "text/plain", "multipart/related", "text/html"]
    assert max(map(len, mail.raw.split(b"\r\n"))) <= 998
    assert not any(byte > 127 for byte in mail.raw)
    assert len(str(mail.message["Subject"])) <= 120


def test_hostile_text_is_shown_as_text() -> None:
    mail = Mail(bytes_of(FIXTURES["hostile"]))
    for needle in (HOSTILE[0], HOSTILE[1], "<script", "<!-- -->", 'href="javascript', "</style>*", "127.0.0.1:8080"):
        assert needle not in mail.html
    assert "{{ 7 * 7 }}{% raw %}" in mail.html
    assert "49" not in re.findall(r">([^<]*7 \* 7[^<]*)<", mail.html)[0]
    # hosts and addresses outside our own links are broken up
    outside = re.sub(r"<a [^>]*>.*?</a>|<head>.*?</head>|=\"[^\"]*\"", "", mail.html, flags=re.S)
    assert not re.search(r"evil\.(com|test)|bad@", outside)
    assert "Bcc" not in mail.message


def test_no_data_is_in_row_count_heading_subject_and_text() -> None:
    mail = Mail(bytes_of(FIXTURES["missing"]))
    assert str(mail.message["Subject"]).startswith("No data for any of the 8 KPIs")
    assert mail.html.count("No data") >= 9
    assert "– No data 8" in mail.text
    assert "✓ On target 0" in mail.text
    one = Mail(bytes_of(replace(issue(), freshness=())))
    assert "2 without data" in str(one.message["Subject"])


@pytest.mark.skipif(not CHECKER.is_file(), reason="the checker is not beside this repository")
@pytest.mark.parametrize("name", FIXTURES)
def test_the_checker_beside_the_repository_agrees(name: str, tmp_path: Path) -> None:
    path = tmp_path / "scorecard.eml"
    path.write_bytes(bytes_of(FIXTURES[name]))
    needles = ["--hostile", "<script", 'href="javascript'] if name == "hostile" else []
    done = subprocess.run(
        [sys.executable, str(CHECKER), str(path), *needles], capture_output=True, text=True, timeout=30, check=False
    )
    assert done.returncode == 0, done.stdout
