"""Another project's files in a package of ours are noticed."""

from syncagent.packages import strangers


def test_a_package_shipped_twice_is_named() -> None:
    """The one case pip is silent about."""
    said = strangers(
        {"templates": ["other-project", "syncagent"], "connectors": ["syncagent"], "requests": ["requests"]}
    )
    assert said == [
        "the package templates is also installed by other-project. Install syncagent into an environment of its own."
    ]


def test_a_plain_and_an_editable_install_are_fine() -> None:
    """Alone, or not listed at all."""
    assert strangers({"templates": ["syncagent"]}) == []
    assert strangers({}) == []
