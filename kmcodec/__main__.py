"""Run the command line as ``python -m kmcodec``."""

from kmcodec.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
