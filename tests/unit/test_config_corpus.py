"""Every bad file of tests/data/config is refused with exactly the lines beside it."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from syncagent.config import ConfigError, load_config
from syncagent.config.partly import load_partly
from syncagent.status import status

FOLDER = Path(__file__).parents[1] / "data" / "config"
ENVIRON = {"SF_CLIENT_ID": "an-id", "SF_CLIENT_SECRET": "a-secret"}
NAMES = sorted(file.stem for file in FOLDER.glob("*.toml"))


@pytest.mark.parametrize("name", NAMES)
def test_each_mistake_is_named_with_its_line_and_mend(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(FOLDER)
    with pytest.raises(ConfigError) as caught:
        load_config(Path(f"{name}.toml"), environ=ENVIRON)
    expected = Path(f"{name}.txt").read_text(encoding="utf-8")
    assert expected == str(caught.value).replace(str(FOLDER), "FOLDER") + "\n"


@pytest.mark.parametrize("name", NAMES)
def test_whatever_is_wrong_how_things_stand_can_be_said(name: str, tmp_path: Path) -> None:
    """Without its mistakes a file is enough for `status`."""
    path = tmp_path / "config.toml"
    path.write_bytes((FOLDER / f"{name}.toml").read_bytes())
    found = status(load_partly(path), datetime(2026, 11, 2, tzinfo=UTC))
    assert found["running"] is False
    assert found["outbox"]["messages"] == 0


def test_every_file_has_its_message_and_every_message_its_file() -> None:
    assert sorted(file.stem for file in FOLDER.glob("*.txt")) == NAMES
    assert len(NAMES) >= 40
