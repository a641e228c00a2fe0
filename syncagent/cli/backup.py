"""`backup` and `restore`."""

from pathlib import Path

import click

from syncagent.cli.common import App, pass_app
from syncagent.errors import OK


@click.command("backup", short_help="Copy both databases, while the daemon runs or not.")
@click.argument("path", type=click.Path(path_type=Path))
@click.option("--force", is_flag=True, help="Replace a file of this name.")
@pass_app
def backup_command(app: App, path: Path, force: bool) -> int:
    """Copy both databases to PATH (a folder, or one file ending in .tar), while the daemon runs or not.

    \b
    Example:
      syncagent backup /var/backups/syncagent-$(date +%F).tar
    """
    from syncagent.backup import back_up

    config = app.config
    for written in back_up(config.agent.data_dir, path, now=app.clock(), replaces=force):
        click.echo(written)
    return OK


@click.command("restore", short_help="Put a backup in place; nothing is sent again.")
@click.argument("path", type=click.Path(path_type=Path))
@pass_app
def restore_command(app: App, path: Path) -> int:
    """Put the backup at PATH in place of the databases; nothing due before now is sent again.

    Refuses while an instance runs. What was there before is kept beside it.
    """
    from syncagent import runs
    from syncagent.backup import restore

    config = app.config
    kept = restore(
        config.agent.data_dir,
        path,
        now=app.clock(),
        settle=lambda state, now: runs.skip_due(config, state, now),
    )
    click.echo(f"restored from {path}; what was due up to now is marked skipped")
    if kept is not None:
        click.echo(f"what was there before is in {kept}")
    return OK
