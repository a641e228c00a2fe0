"""The example configuration of CRM exports, over small exports written here: from two folders of CSV to figures."""

import json
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from syncagent.cli import run_cli

EXAMPLE = Path(__file__).parents[2] / "examples" / "crm-exports.toml"


def test_exports_become_figures_by_owner_without_a_mapping(
    tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    config = tmp_path / EXAMPLE.name
    shutil.copyfile(EXAMPLE, config)
    for folder in ("salesforce", "hubspot"):
        (tmp_path / "data" / folder).mkdir(parents=True)
    (tmp_path / "data/salesforce/User.csv").write_text(
        '"Id","Username","Name","IsActive","SystemModstamp"\n'
        '"005000000000001AAA","kim@acme.test","Kim Doe","1","2026-01-01 00:00:00"\n'
    )
    (tmp_path / "data/salesforce/Opportunity.csv").write_text(
        '"Id","IsDeleted","StageName","Amount","CloseDate","IsClosed","IsWon","OwnerId","CreatedDate","SystemModstamp",'
        '"Why_lost__c"\n'
        '"006000000000001AAA","0","Closed Won","100","2026-01-10","1","1","005000000000001AAA","2026-01-01 00:00:00",'
        '"2026-01-10 00:00:00",""\n'
        '"006000000000002AAA","0","Closed Lost","50","2026-01-11","1","0","005000000000001AAA","2026-01-01 00:00:00",'
        '"2026-01-11 00:00:00","Price"\n'
        '"006000000000003AAA","1","Closed Won","999","2026-01-11","1","1","005000000000001AAA","2026-01-01 00:00:00",'
        '"2026-01-11 00:00:00",""\n'
    )
    deals = "Record ID,Deal Name,Deal Stage,Amount,Close Date,Create Date,Deal owner\n"
    row = "{},Deal,Closed Won,{},2026-01-12 10:00,2026-01-02 10:00,Sam Poe\n"
    (tmp_path / "data/hubspot/deals-9.csv").write_text(deals + row.format(7, 30) + row.format(8, 40))
    (tmp_path / "data/hubspot/deals-10.csv").write_text(deals + row.format(8, 40))

    assert run_cli(["--config", str(config), "sync", "--json"]) == 0
    capfdbinary.readouterr()
    show = ["--config", str(config), "kpi", "show", "won_revenue", "--period", "all", "--by", "owner", "--json"]
    assert run_cli(show) == 0
    (revenue,) = json.loads(capfdbinary.readouterr().out)

    assert (revenue["value"], {one["segment"]: one["value"] for one in revenue["segments"]}) == (
        140.0,
        {"Kim Doe": 100.0, "Sam Poe": 40.0},
    )
    with closing(sqlite3.connect(tmp_path / "crm-exports-cache" / "cache.db")) as cache:
        assert cache.execute("SELECT DISTINCT source_name, source FROM opportunities ORDER BY 1").fetchall() == [
            ("hubspot_files", "hubspot"),
            ("salesforce_files", "salesforce"),
        ]
        assert cache.execute("SELECT loss_reason FROM opportunities WHERE state = 'lost'").fetchall() == [("Price",)]
