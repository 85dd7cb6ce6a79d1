"""Run the command line as ``python -m kmcodec``."""

from kmcodec.cli import run_process

if __name__ == "__main__":
    run_process()
