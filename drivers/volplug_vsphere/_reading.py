"""Reading properties and waiting for tasks, both through the PropertyCollector.

`task.info` as pyVmomi offers it fails on tasks of first class disks, whose entity is no inventory
object; and a whole `vm.config` is tens of kilobytes where one field is wanted (backends-block 3).
"""

from collections.abc import Iterable
from typing import Any

from volplug.sdk import wait_until
from volplug_vsphere._vim import vim, vmodl

POLL_S = 0.25

_Query = vmodl.query.PropertyCollector


def properties(
    content: Any, objects: Iterable[Any], kind: Any, *names: str
) -> list[tuple[Any, dict[str, Any]]]:
    """Read some properties of some objects; one that has no value is left out."""
    wanted = [_Query.ObjectSpec(obj=each) for each in objects]
    if not wanted:
        return []
    fields = _Query.PropertySpec(type=kind, pathSet=list(names))
    query = _Query.FilterSpec(propSet=[fields], objectSet=wanted)
    collector = content.propertyCollector
    page = collector.RetrievePropertiesEx([query], _Query.RetrieveOptions())
    found = []
    while page is not None:
        found += [
            (row.obj, {field.name: field.val for field in row.propSet}) for row in page.objects
        ]
        page = collector.ContinueRetrievePropertiesEx(page.token) if page.token else None
    return found


def finish(content: Any, task: Any, awaited: str) -> None:
    """Wait for the end of a task; raise the fault that it failed with."""
    info: dict[str, Any] = {}

    def ended() -> bool:
        for _, read in properties(content, [task], vim.Task, "info.state", "info.error"):
            info.update(read)
        return info.get("info.state") in ("success", "error")

    wait_until(ended, awaited, poll_s=POLL_S)
    if info["info.state"] == "error":
        raise info["info.error"]


def running(content: Any, tasks: Iterable[Any], kinds: Iterable[str]) -> bool:
    """Whether one of the tasks that is of those kinds has not ended; forgotten ones have."""
    try:
        read = properties(content, tasks, vim.Task, "info.state", "info.descriptionId")
    except vmodl.fault.ManagedObjectNotFound:
        return False
    return any(
        info.get("info.state") in ("running", "queued")
        and str(info.get("info.descriptionId", "")).endswith(tuple(kinds))
        for _, info in read
    )
