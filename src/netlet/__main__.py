"""``python -m netlet``."""

from netlet.cli import main

main()
