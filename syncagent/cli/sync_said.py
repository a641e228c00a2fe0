"""What a person is told of a finished sync: a table, then a line for each thing worth knowing."""

from collections.abc import Sequence
from contextlib import closing
from datetime import datetime
from typing import TYPE_CHECKING

import click

from syncagent.cli.common import count_of, print_table
from syncagent.clock import local_time

if TYPE_CHECKING:
    from syncagent.config import Config
    from syncagent.sync import StreamReport

#: Under this name a login that failed is reported: it belongs to no stream, and has nothing for the table.
LOGIN = "login"


def show_reports(reports: Sequence["StreamReport"], timezone: str) -> None:
    """A table that fits 80 columns, then what a person should know, a line each."""
    table = [
        (r.source, r.stream, f"{r.read:,}", f"{r.changed:,}", f"{r.deleted:,}", _held(r), _took(r.seconds))
        for r in reports
        if r.stream != LOGIN
    ]
    if table:
        headings = ("source", "stream", "read", "changed", "deleted", "here, of CRM", "took")
        print_table(headings, table, right=(2, 3, 4, 5, 6))
    for report in reports:
        place = f"{report.source} {report.stream}"
        if report.reconciled and (report.found_missing or report.found_gone):
            click.echo(
                f"{place}: compared with the CRM: {report.found_missing:,} were missing here,"
                f" {report.found_gone:,} are gone there; put right"
            )
        if report.rejected:
            rows = count_of(report.rejected, "row")
            click.echo(
                f"{place}: {rows} could not be used; {report.first_reject or ''} (all of them: {report.reject_file})"
            )
        if report.error:
            click.echo(f"{place}: {report.error}", err=True)
    for source, until in {report.source: report.rests_until for report in reports if report.rests_until}.items():
        when = local_time(until, timezone)
        mend = "sooner once `syncagent check` finds its login in order"
        click.echo(f"{source}: the daemon leaves it alone until {when}; {mend}", err=True)


def show_changes(config: "Config", since: datetime) -> None:
    """What changed in the sources' own schemas and feeds a column of ours; the daemon's mails are not spared by it."""
    from syncagent import drift
    from syncagent.store import read_cache

    with closing(read_cache(config.agent.data_dir)) as cache:
        for change in drift.changes(cache, since=since):
            click.echo(f"{change.sentence} {drift.touched(change, config).sentence}")


def _held(report: "StreamReport") -> str:
    """`12,345 of 12,347`: live records here, and in the CRM; `all 12,347` where that is the same."""
    if report.crm_count is None or report.cache_count is None:
        return ""
    if report.crm_count == report.cache_count:
        return f"all {report.cache_count:,}"
    return f"{report.cache_count:,} of {report.crm_count:,}"


def _took(seconds: float) -> str:
    """`0.4 s`, `12 s`, `3 min`, `2.5 h`."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
