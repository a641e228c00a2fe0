"""The main job with nothing configured: the bundled servers synced, computed, mailed, and compared with the truth."""

import json
import shutil
import sqlite3
from collections.abc import Callable, Mapping
from contextlib import closing
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from syncagent import runs, sending
from syncagent.cli.common import count_of, print_table
from syncagent.cli.sync import stop_on_signals, sync_all
from syncagent.cli.sync_progress import progress_shown
from syncagent.cli.sync_said import show_reports
from syncagent.config import Config, load_config
from syncagent.demo_check import KpiCheck, cache_differences, kpi_checks
from syncagent.errors import FAILED, OK, UsageError
from syncagent.mailer import Mailer
from syncagent.outbox import pump
from syncagent.preview import preview, write_preview
from syncagent.store import lock_data_dir, open_state, read_cache
from syncagent.wiring import register_config_secrets

if TYPE_CHECKING:
    from syncagent.sandbox import Sandbox

DEFAULT_FOLDER = Path("demo-output")
#: What tells a folder made by an earlier demo, which may be replaced, from one of the user's own.
MARK = ".syncagent-demo"
SEED = 7
#: The generated company: NAME of its source in the configuration, by CRM.
SOURCES = {"salesforce": "sf", "hubspot": "hs"}
_SHOWN_DIFFERENCES = 10


def run_demo(folder: Path | None, *, serve: bool, clock: Callable[[], datetime]) -> int:
    """Do it all in `folder`; 1 when any number or row differs from the truth."""
    from syncagent.sandbox import Sandbox

    folder = _fresh(folder)
    # Whole minutes: the company's present is part of what a run can be repeated with.
    present = clock().replace(second=0, microsecond=0)
    click.echo("Starting Salesforce, HubSpot and SMTP on loopback ...")
    with Sandbox(folder / "sandbox", seed=SEED, as_of=present) as sandbox, stop_on_signals() as stop:
        config = load_config(sandbox.write_config(folder / "config.toml"))
        register_config_secrets(config)
        with lock_data_dir(config.agent.data_dir, "demo"):
            click.echo(f"Syncing {', '.join(config.sources)} into {config.agent.data_dir / 'cache.db'} ...")
            with progress_shown(is_quiet=False) as tell:
                reports = sync_all(config, list(config.sources), clock=clock, stop=stop, tell=tell)
            show_reports(reports, config.agent.timezone)
            if stop.is_set():
                return FAILED
            click.echo("\nComputing the scorecards and handing one message per reader to the mail server ...")
            due, trouble = _send_all(config, clock)
            ok = _compare(config, sandbox)
            files = _previews(config, folder, due)
        ok = ok and not trouble and not any(report.error for report in reports)
        _say_files(folder, config, sandbox, files)
        if serve:
            _serve(sandbox)
    if not ok:
        click.echo("The demo FAILED: see above.", err=True)
    return OK if ok else FAILED


def serve_sandbox(folder: Path, *, seed: int, advance: timedelta | None, clock: Callable[[], datetime]) -> int:
    """Start the servers, write their configuration, and stay until told to stop."""
    from syncagent.sandbox import Sandbox

    began, spans = company_of(folder, seed=seed, advance=advance, now=clock())
    with Sandbox(folder, seed=seed, as_of=began) as sandbox:
        for span in spans:
            sandbox.advance(span)
        click.echo(f"The company's clock stands at {sandbox.now:%Y-%m-%d %H:%M} UTC; --advance 1d moves it on.")
        is_kept = (folder / "config.toml").exists()
        config = sandbox.write_config(folder / "config.toml")
        click.echo(f"Configuration: {config}{' (yours, with the new addresses)' if is_kept else ''}")
        if not is_kept:
            click.echo("Its comments hold the other ways to log in: password and security token, JWT, OAuth.")
        click.echo(f"Try: syncagent --config {config} sync")
        _serve(sandbox)
    return OK


def company_of(
    folder: Path, *, seed: int, advance: timedelta | None, now: datetime
) -> tuple[datetime, list[timedelta]]:
    """When the company of a folder began to be served, and the spans it has moved on since, `advance` the last.

    It is the same company every time, so that a cache made of it earlier goes on; kept in DIR/company.json. Raises
    UsageError for a folder with another company.
    """
    path = folder / "company.json"
    kept: dict[str, Any] = {"seed": seed, "began_at": None, "advanced_s": []}
    if path.exists():
        try:
            kept = json.loads(path.read_text(encoding="utf-8"))
            began = datetime.fromisoformat(kept["began_at"])
            spans = [timedelta(seconds=float(span)) for span in kept["advanced_s"]]
        except (ValueError, KeyError, TypeError):
            raise UsageError("is damaged", place=str(path), mend="Remove the folder, and caches made of it.") from None
        if kept.get("seed") != seed:
            mend = f"Give --seed {kept.get('seed')}, or another --dir."
            raise UsageError("holds another company", place=str(folder), mend=mend)
    else:
        began = now.replace(second=0, microsecond=0) - (advance or timedelta())
        spans = []
    if advance is not None:
        spans.append(advance)
    kept |= {"seed": seed, "began_at": began.isoformat(), "advanced_s": [span.total_seconds() for span in spans]}
    folder.mkdir(parents=True, exist_ok=True)
    draft = path.with_suffix(".new")
    draft.write_text(json.dumps(kept) + "\n", encoding="utf-8")
    draft.replace(path)
    return began, spans


def _fresh(folder: Path | None) -> Path:
    """An empty folder; what an earlier demo left there is replaced, nothing else ever is."""
    folder = folder or DEFAULT_FOLDER
    if folder.exists():
        if not (folder / MARK).exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise UsageError(
                "is in use and was not made by a demo", place=str(folder), mend="Name another folder with --keep."
            )
        shutil.rmtree(folder)
    folder.mkdir(mode=0o700, parents=True)
    (folder / MARK).touch()
    return folder


def _send_all(config: Config, clock: Callable[[], datetime]) -> tuple[dict[str, datetime], bool]:
    """Send every scorecard once, through the outbox; when each was due, and whether a message did not get through."""
    due: dict[str, datetime] = {}
    assert config.mail is not None
    with closing(read_cache(config.agent.data_dir)) as cache, closing(open_state(config.agent.data_dir)) as state:
        for name in config.scorecards:
            due[name] = sending.send_now(config, cache, state, name, clock=clock).due_at
        report = pump(state, Mailer(config.mail), clock, owners=runs.owners(config))
    if report.trouble:
        click.echo(f"mail: {report.trouble}", err=True)
    return due, bool(report.deferred or report.failed or report.uncertain)


def _compare(config: Config, sandbox: "Sandbox") -> bool:
    """Print every number beside the sandbox's own; whether all rows and numbers are right."""
    with closing(read_cache(config.agent.data_dir)) as cache:
        differences = cache_differences(cache, sandbox.truth(), SOURCES)
        rows = _row_count(cache)
    with closing(open_state(config.agent.data_dir)) as state:
        checks = kpi_checks(state, sandbox, config.agent.timezone)
        sent = state.execute("SELECT count(*) FROM outbox WHERE state = 'sent'").fetchone()[0]
    print_table(
        ("KPI", "scorecard", "shown", "truth", "ok"),
        [
            (check.kpi, check.scorecard, _shown(check), _number(check.truth), "yes" if check.ok else "NO")
            for check in checks
        ],
        right=(2, 3),
    )
    for difference in differences[:_SHOWN_DIFFERENCES]:
        click.echo(difference, err=True)
    if len(differences) > _SHOWN_DIFFERENCES:
        click.echo(f"... and {len(differences) - _SHOWN_DIFFERENCES} more", err=True)
    wrong = sum(not check.ok for check in checks)
    click.echo(
        f"\n{rows:,} rows in the cache, {len(differences)} differ from the servers'; {count_of(len(checks), 'number')},"
        f" {wrong} differ from the truth; {count_of(sent, 'message')} sent, {len(sandbox.mails)} received"
    )
    return not differences and not wrong and bool(checks) and sent == len(sandbox.mails) > 0


def _row_count(cache: sqlite3.Connection) -> int:
    from syncagent.schema import TABLES

    return sum(int(cache.execute(f"SELECT count(*) FROM {table}").fetchone()[0]) for table in TABLES)


def _previews(config: Config, folder: Path, due: Mapping[str, datetime]) -> list[Path]:
    """The scorecards that were sent, as files to look at."""
    written: list[Path] = []
    with closing(read_cache(config.agent.data_dir)) as cache:
        for name, due_at in due.items():
            shown = preview(config, cache, name, as_of=due_at)
            written += write_preview(shown, folder / name)
    return written


def _say_files(folder: Path, config: Config, sandbox: "Sandbox", written: list[Path]) -> None:
    click.echo("\nOpen:")
    for path in [path for path in written if path.suffix == ".html"]:
        click.echo(f"  {path}")
    for path in sorted((folder / "sandbox" / "mails").glob("*.eml")):
        click.echo(f"  {path}")
    click.echo(f"  {config.agent.data_dir / 'cache.db'}   (any SQLite tool)")
    click.echo(f"  {config.path}   (syncagent --config {config.path} kpi show win_rate)")


def _serve(sandbox: "Sandbox") -> None:
    click.echo(
        f"\nSalesforce {sandbox.salesforce_url}  HubSpot {sandbox.hubspot_url}  SMTP 127.0.0.1:{sandbox.smtp_port}\n"
        f"Mails arrive in {sandbox.dir / 'mails'}. Ctrl-C stops the servers."
    )
    with stop_on_signals(quietly=True) as stop:
        stop.wait()


def _shown(check: KpiCheck) -> str:
    return _number(check.shown) if check.status == "ok" or check.shown is not None else check.status


def _number(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:,.0f}" if float(value).is_integer() else f"{value:,.4f}"
