"""`python -m syncagent`."""

from syncagent.cli import main

if __name__ == "__main__":
    main()
