"""`syncagent links`: what it shows, what one says by it, and that what was said outlives everything but itself."""

import json
import logging
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from syncagent.cli import run_cli
from syncagent.store import read_cache

_CONFIG = """
[agent]
name = "Acme"
[source.sf]
type = "files"
[[source.sf.table]]
path = "sf-deals.csv"
table = "opportunities"
[[source.sf.table]]
path = "sf-accounts.csv"
table = "accounts"
[source.hs]
type = "files"
[[source.hs.table]]
path = "hs-deals.csv"
table = "opportunities"
[[source.hs.table]]
path = "hs-accounts.csv"
table = "accounts"
"""
_HEAD = "source,source_id,name,created_at,close_date,state,amount,currency,account_id,sf_opportunity_id\n"
_FILES = {
    "sf-deals.csv": f"{_HEAD}"
    "salesforce,006R00000024gDtIAI,Alpha,2026-09-01T00:00:00Z,2026-10-28,won,1000,EUR,S1,\n"
    "salesforce,006B,Beta,2026-09-01T00:00:00Z,2026-10-29,won,500,EUR,S1,\n",
    "hs-deals.csv": f"{_HEAD}"
    "hubspot,1,Alpha (hs),2026-09-01T00:00:00Z,2026-10-28,won,1000,EUR,H1,006R00000024gDt\n"
    "hubspot,2,Beta (hs),2026-09-01T00:00:00Z,2026-10-27,won,503,EUR,H1,\n"
    "hubspot,3,Gamma,2026-09-01T00:00:00Z,2026-10-27,won,70,EUR,H1,006gone\n",
    "sf-accounts.csv": "source,source_id,name,domain_norm\nsalesforce,S1,Acme Ltd,acme.com\n",
    "hs-accounts.csv": "source,source_id,name,domain_norm\nhubspot,H1,Acme,www.acme.com\n",
}

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsysbinary: pytest.CaptureFixture[bytes]) -> Iterator[Run]:
    """A folder with two CRMs' exports, synced; runs a command in it: (exit code, stdout, stderr)."""
    monkeypatch.chdir(tmp_path)
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    (tmp_path / "config.toml").write_text(_CONFIG, encoding="utf-8")
    for name, text in _FILES.items():
        (tmp_path / name).write_text(text, encoding="utf-8")

    def run(*arguments: str) -> tuple[int, str, str]:
        code = run_cli([*arguments])
        out, err = capsysbinary.readouterr()
        return code, out.decode(), err.decode()

    assert run("sync", "-q")[0] == 0
    yield run
    root.handlers[:] = handlers
    root.setLevel(level)


def revenue(run: Run) -> float:
    return float(told(run, "kpi", "show", "won_revenue", "--period", "2026-10", "--json")[0]["value"])


def told(run: Run, *arguments: str) -> Any:
    code, out, err = run(*arguments)
    assert (code, err) == (0, "")
    return json.loads(out)


def test_list_says_what_is_linked_and_what_wants_a_decision(run: Run) -> None:
    links = told(run, "links", "list", "--json")
    assert [(one["kind"], one["a_id"], one["b_id"], one["is_counted"], one["said_by"]) for one in links] == [
        ("hard", "hs:opportunities:1", "sf:opportunities:006R00000024gDtIAI", True, "hs"),
        ("domain", "hs:accounts:H1", "sf:accounts:S1", True, "syncagent"),
        ("candidate", "hs:opportunities:2", "sf:opportunities:006B", False, "syncagent"),
        ("orphan", "hs:opportunities:3", None, False, "hs"),
    ]
    assert links[2]["why"] == (
        "possible double count of 500.00 EUR: one account, won on 2026-10-27 for 503.00 EUR"
        " and on 2026-10-29 for 500.00 EUR"
    )
    code, out, _ = run("links", "list")
    assert code == 0
    assert "opportunities  stored id                   1" in out
    assert "hs:opportunities:2 (Beta (hs))" in out
    assert "hs:opportunities:1 " not in out
    assert "hs:opportunities:1 " in run("links", "list", "--kind", "hard")[1]


def test_the_heuristic_can_be_turned_off(run: Run, tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text(_CONFIG + '[identity]\ndeal_heuristic = "off"\n', encoding="utf-8")
    assert {one["kind"] for one in told(run, "links", "list", "--json")} == {"hard", "domain", "orphan"}


def test_deals_that_look_alike_are_linked_where_one_asks_for_it(run: Run, tmp_path: Path) -> None:
    """Counted once then, with the reason; what one says goes before it, and another setting takes it back."""
    before = revenue(run)
    (tmp_path / "config.toml").write_text(_CONFIG + '[identity]\ndeal_heuristic = "auto"\n', encoding="utf-8")
    assert run("sync", "-q")[0] == 0
    (link,) = told(run, "links", "list", "--kind", "deal", "--json")
    assert (link["a_id"], link["b_id"], link["is_counted"]) == ("hs:opportunities:2", "sf:opportunities:006B", True)
    assert link["why"] == "one account, won on 2026-10-27 for 503.00 EUR and on 2026-10-29 for 500.00 EUR"
    assert ["opportunities", "won", "deals", "alike", "1"] in [
        line.split() for line in run("links", "list")[1].splitlines()
    ]
    assert revenue(run) == before - 503
    assert run("links", "unlink", "hs:opportunities:2", "sf:opportunities:006B")[0] == 0
    assert revenue(run) == before
    assert run("links", "unlink", "hs:opportunities:2", "sf:opportunities:006B", "--undo")[0] == 0
    assert revenue(run) == before - 503
    (tmp_path / "config.toml").write_text(_CONFIG, encoding="utf-8")
    assert run("sync", "-q")[0] == 0
    assert revenue(run) == before
    assert [one["kind"] for one in told(run, "links", "list", "--kind", "deal", "--kind", "candidate", "--json")] == [
        "candidate"
    ]


def test_why_names_the_rule_and_who_counts(run: Run) -> None:
    found = told(run, "links", "why", "006R00000024gDtIAI", "--json")
    assert found["counts_as"] == "sf:opportunities:006R00000024gDtIAI"
    assert [(one["id"], one["is_counted"]) for one in found["records"]] == [
        ("sf:opportunities:006R00000024gDtIAI", True),
        ("hs:opportunities:1", False),
    ]
    (link,) = found["links"]
    assert (link["kind"], link["said_by"]) == ("hard", "hs")
    assert link["since"]
    code, out, _ = run("links", "why", "hs:opportunities:1")
    assert code == 0
    assert "is one with 1 other record" in out
    assert "sf_opportunity_id holds the other's id" in out
    assert "stands for itself alone" in run("links", "why", "hs:opportunities:3")[1]


def test_who_is_asked_for_must_be_there(run: Run) -> None:
    code, _, err = run("links", "why", "hs:opportunities:99")
    assert code == 2
    assert "no record that can be linked has this id" in err
    assert run("links", "link", "hs:opportunities:1", "hs:accounts:H1")[0] == 2
    assert run("links", "link", "hs:opportunities:1", "hs:opportunities:1")[0] == 2
    assert run("links", "link", "hs:opportunities:1", "hs:opportunities:2", "--undo")[0] == 2


def test_what_was_said_counts_at_once_and_can_be_taken_back(run: Run) -> None:
    """Linking takes the copy out, unlinking brings the copy of a stored id in, and undoing either restores all."""
    before = revenue(run)
    assert before == 1000 + 500 + 503 + 70
    beta = ("hs:opportunities:2", "sf:opportunities:006B")
    code, out, _ = run("links", "link", *beta, "--by", "Kim", "--note", "same contract")
    assert (code, out) == (0, f"{' and '.join(beta)}: said by a person (same contract)\n")
    assert revenue(run) == before - 503
    assert told(run, "links", "why", beta[0], "--json")["links"][0]["said_by"] == "Kim"
    assert run("links", "link", *beta, "--undo")[0] == 0
    assert revenue(run) == before
    alpha = ("hs:opportunities:1", "sf:opportunities:006R00000024gDtIAI")
    assert run("links", "unlink", *alpha)[0] == 0
    assert revenue(run) == before + 1000
    assert [one["kind"] for one in told(run, "links", "list", "--kind", "never", "--json")] == ["never"]
    assert run("links", "unlink", *alpha, "--undo")[0] == 0
    assert revenue(run) == before


@pytest.mark.parametrize("what", ["again", "full", "a new cache"])
def test_what_was_said_outlives_every_sync(run: Run, tmp_path: Path, what: str) -> None:
    run("links", "link", "hs:opportunities:2", "sf:opportunities:006B")
    run("links", "unlink", "hs:opportunities:1", "sf:opportunities:006R00000024gDtIAI")
    before = revenue(run)
    assert before == 1000 + 1000 + 500 + 70
    if what == "a new cache":
        for file in (tmp_path / "data").glob("cache.db*"):
            file.unlink()
    assert run("sync", "-q", *(["--full"] if what == "full" else []))[0] == 0
    assert revenue(run) == before


def test_the_configuration_goes_first(run: Run, tmp_path: Path) -> None:
    """What it says of two records a command cannot change; what it says no more is undone."""
    before = revenue(run)
    pair = ("sf:opportunities:006B", "hs:opportunities:2")
    text = f'[identity]\nlink = [["{pair[0]}", "{pair[1]}"]]\n'
    (tmp_path / "config.toml").write_text(_CONFIG + text, encoding="utf-8")
    run("sync", "-q")
    assert revenue(run) == before - 503
    assert told(run, "links", "why", pair[0], "--json")["links"][0]["said_by"] == "config"
    code, _, err = run("links", "unlink", *pair)
    assert code == 2
    assert "the configuration says" in err
    (tmp_path / "config.toml").write_text(_CONFIG, encoding="utf-8")
    run("sync", "-q")
    assert revenue(run) == before


def test_linking_changes_no_row_but_who_counts(run: Run, tmp_path: Path) -> None:
    """However records are linked and parted, each CRM's rows stay as they are (docs/links.md)."""

    def raw() -> list[tuple[Any, ...]]:
        with closing(read_cache(tmp_path / "data")) as cache:
            rows = cache.execute("SELECT id, name, state, amount_minor, is_deleted FROM opportunities ORDER BY id")
            return [tuple(row) for row in rows]

    before = raw()
    run("links", "link", "hs:opportunities:2", "sf:opportunities:006B")
    run("links", "link", "hs:opportunities:3", "sf:opportunities:006B")
    assert raw() == before


def test_what_contradicts_what_was_said_is_refused(run: Run) -> None:
    """Two records that are to stay apart cannot be made one by way of a third."""
    run("links", "unlink", "hs:opportunities:2", "sf:opportunities:006B")
    run("links", "link", "hs:opportunities:2", "hs:opportunities:3")
    code, out, _ = run("links", "link", "hs:opportunities:3", "sf:opportunities:006B")
    assert code == 3
    assert "conflict, not counted" in out
    assert revenue(run) == 1000 + 500 + 503


def test_calls_logged_in_both_are_one_until_somebody_says_otherwise(run: Run, tmp_path: Path) -> None:
    """Shown with the reason, kept apart and put together again, each time counted so."""
    files = {
        "users": "email\n{source},U,kim@acme.com\n",
        "contacts": "email_norm,created_at\n{source},C,ann@zenith.com,2026-09-01T00:00:00Z\n",
        "activities": "subject,type,direction,status,owner_id,contact_id,occurred_at\n"
        "{source},1,The offer,call,outbound,completed,U,C,2026-10-06T12:0{minute}:00Z\n",
    }
    tables = ""
    for crm, source, minute in (("sf", "salesforce", 0), ("hs", "hubspot", 1)):
        for table, text in files.items():
            said = "source,source_id," + text.format(source=source, minute=minute)
            (tmp_path / f"{crm}-{table}.csv").write_text(said, encoding="utf-8")
            tables += f'[[source.{crm}.table]]\npath = "{crm}-{table}.csv"\ntable = "{table}"\n'
    (tmp_path / "config.toml").write_text(_CONFIG + tables, encoding="utf-8")
    assert run("sync", "-q")[0] == 0

    def calls() -> tuple[float, Any]:
        shown = told(run, "kpi", "show", "outreach_volume", "--period", "2026-10", "--json")[0]
        return shown["value"], shown["details"].get("crm_bridge")

    both = ("hs:activities:1", "sf:activities:1")
    assert calls() == (1, {"hubspot": 1, "salesforce": 1, "linked": -1, "total": 1})
    assert "HubSpot 1 + Salesforce 1 − 1 in both" in run("kpi", "show", "outreach_volume", "--period", "2026-10")[1]
    (link,) = told(run, "links", "list", "--object", "activities", "--json")
    assert (link["kind"], link["a_id"], link["b_id"]) == ("moment", *both)
    assert link["why"] == "the same kind, owner and person, 60 seconds apart"
    assert told(run, "links", "why", both[0], "--json")["counts_as"] == both[1]
    assert run("links", "unlink", *both)[0] == 0
    assert calls() == (2, None)
    assert run("links", "unlink", *both, "--undo")[0] == 0
    assert calls()[0] == 1
