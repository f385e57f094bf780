"""The store of a cluster: catalog and leases in etcd, which is used as a register file only.

etcd's own leases, locks and watches are no authority here: a leader stuck in one disk write was
seen to delete every leased key 0.04 s after a keepalive that it had acknowledged (leases.md 4.3).
"""

from volplug.etcd.access import Access
from volplug.etcd.checkup import Check, check
from volplug.etcd.home import Home
from volplug.etcd.store import EtcdStore, declare_restored

__all__ = ["Access", "Check", "EtcdStore", "Home", "check", "declare_restored"]
