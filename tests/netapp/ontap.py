"""An ONTAP array with one SVM, as far as its REST API shows one: the rules, without the network.

Kept, as the vendor's client, its documentation and Trident's code tell (backends-block 4,
backends-file 4):

* A FlexVol's name is unique in its SVM; making, changing and deleting one is a job, which may fail
  with a code of its own; while one is being made its name is taken and it is not to be seen.
* A LUN may be mapped to any number of igroups: the array keeps nobody out. It takes the lowest free
  number of a group, at once again after an unmap. It is not deleted while it is mapped.
* An igroup is not deleted while something is mapped to it.
* A FlexClone takes no comment and no export policy of its own when it is made: it has its origin's.
  It has new LUNs without maps. An origin with clones is not deleted, nor is a clone's snapshot.
* Export rules are numbered anew when one goes; the first that matches decides. A policy in use is
  not deleted. A client that was let in may be seen for a while after its rule went.
* Only the fields that were asked for are told; unknown properties in a body are refused.

Worse than it has to be, for it is not known: a FlexVol is deleted together with mapped LUNs.

Made up, for they are in no document at hand: the codes of refused export policies (1703950 and
1703952), of a wrong aggregate and of a size out of range; nothing may hang on them.

Not kept: data (unless served.py serves it), the recovery queue, LUN and FlexVol rounding, nested
igroups, several SVMs, quotas of the REST API, timings. Only an array can tell those.
"""

import re
from collections.abc import Callable

from tests.netapp.exports import Exports
from tests.netapp.flexvols import FlexVols
from tests.netapp.luns import Luns
from tests.netapp.records import SVM, Json, RefusedError, page


class Array(FlexVols, Luns, Exports):
    """The whole array, and its endpoints by method and path."""

    def answer(self, method: str, path: str, body: Json, query: dict[str, str]) -> tuple[int, Json]:
        """Do what a request asks; raise RefusedError as ONTAP would."""
        self.advance()
        for (verb, pattern), endpoint in _ENDPOINTS.items():
            match = re.fullmatch(pattern, path)
            if verb == method and match:
                return endpoint(self, *match.groups(), body=body, query=query)
        raise RefusedError(404, "3", f"API not found: {method} {path}")

    def counts(self) -> dict[str, int]:
        """Count everything that could leak."""
        self.advance()
        kept = ("volumes", "snapshots", "luns", "igroups", "maps", "policies")
        counted = {name: len(getattr(self, name)) for name in kept}
        rules = sum(len(one["rules"]) for one in self.policies.values())
        return {**counted, "policies": counted["policies"] - 1, "rules": rules}

    def list_jobs(self, *, body: Json, query: dict[str, str]) -> tuple[int, Json]:
        """GET /cluster/jobs."""
        del body
        return page(list(self.jobs.values()), query)

    def list_interfaces(self, *, body: Json, query: dict[str, str]) -> tuple[int, Json]:
        """GET /network/ip/interfaces."""
        del body
        return page(self.interfaces, query)

    def list_services(self, *, body: Json, query: dict[str, str]) -> tuple[int, Json]:
        """GET /protocols/san/iscsi/services."""
        del body
        service = {"svm": {"name": SVM}, "enabled": True, "target": {"name": self.target}}
        return page([service], query)

    def list_clients(self, *, body: Json, query: dict[str, str]) -> tuple[int, Json]:
        """GET /protocols/nfs/connected-clients."""
        del body
        return page(self.clients, query)


Endpoint = Callable[..., tuple[int, Json]]
_P, _I, _M = "/protocols/nfs/export-policies", "/protocols/san/igroups", "/protocols/san/lun-maps"
_V, _L = "/storage/volumes", "/storage/luns"
_ENDPOINTS: dict[tuple[str, str], Endpoint] = {
    ("GET", _V): Array.list_volumes,
    ("POST", _V): Array.make_volume,
    ("PATCH", rf"{_V}/([^/]+)"): Array.change_volume,
    ("DELETE", rf"{_V}/([^/]+)"): Array.delete_volume,
    ("GET", rf"{_V}/([^/]+)/snapshots"): Array.list_snapshots,
    ("POST", rf"{_V}/([^/]+)/snapshots"): Array.make_snapshot,
    ("DELETE", rf"{_V}/([^/]+)/snapshots/([^/]+)"): Array.delete_snapshot,
    ("GET", _L): Array.list_luns,
    ("POST", _L): Array.make_lun,
    ("PATCH", rf"{_L}/([^/]+)"): Array.change_lun,
    ("DELETE", rf"{_L}/([^/]+)"): Array.delete_lun,
    ("GET", _I): Array.list_igroups,
    ("POST", _I): Array.make_igroup,
    ("DELETE", rf"{_I}/([^/]+)"): Array.delete_igroup,
    ("GET", _M): Array.list_maps,
    ("POST", _M): Array.make_map,
    ("DELETE", rf"{_M}/([^/]+)/([^/]+)"): Array.delete_map,
    ("GET", "/protocols/san/iscsi/credentials"): Array.list_logins,
    ("POST", "/protocols/san/iscsi/credentials"): Array.make_login,
    ("GET", _P): Array.list_policies,
    ("POST", _P): Array.make_policy,
    ("DELETE", rf"{_P}/([^/]+)"): Array.delete_policy,
    ("GET", rf"{_P}/([^/]+)/rules"): Array.list_rules,
    ("POST", rf"{_P}/([^/]+)/rules"): Array.make_rule,
    ("DELETE", rf"{_P}/([^/]+)/rules/(\d+)"): Array.delete_rule,
    ("GET", "/cluster/jobs"): Array.list_jobs,
    ("GET", "/network/ip/interfaces"): Array.list_interfaces,
    ("GET", "/protocols/san/iscsi/services"): Array.list_services,
    ("GET", "/protocols/nfs/connected-clients"): Array.list_clients,
}
