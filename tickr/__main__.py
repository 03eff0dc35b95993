"""``python -m tickr`` is ``tickr``."""

from tickr.cli import main

if __name__ == "__main__":
    main(prog_name="tickr")
