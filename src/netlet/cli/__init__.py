"""The command line: one file for each verb, which parses, calls one function and prints."""

from netlet.cli.app import main

__all__ = ["main"]
