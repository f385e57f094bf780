"""The store of one node: catalog, leases and mount rows in one SQLite file."""

from volplug.sqlite.store import SqliteStore

__all__ = ["SqliteStore"]
