"""How each answer looks on a terminal; its JSON needs no view."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from volplug.admin.table import ago, outline, shown, since, table
from volplug.lease import Lease

_VOLUMES = ("name", "backend", "access", "state", "size", "nodes", "mounts")


def volumes(found: Sequence[Mapping[str, Any]]) -> str:
    """Show volumes, one a line."""
    heads = [*(key.upper() for key in _VOLUMES), "CREATED"]
    rows = [[*map(one.get, _VOLUMES), since(one.get("created_at"))] for one in found]
    return table(heads, rows)


def volume(found: Mapping[str, Any]) -> str:
    """Show all that is known of one volume."""
    return outline(found)


def snapshots(found: Sequence[Mapping[str, Any]]) -> str:
    """Show snapshots, one a line, as they are written after `clone_of=`."""
    return table(
        ("SNAPSHOT", "TAKEN"), [(one["snapshot"], since(one["taken_at"])) for one in found]
    )


def leases(found: Sequence[Lease]) -> str:
    """Show leases, one a line."""
    heads = ("VOLUME", "NODE", "ACCESS", "STATE", "SINCE", "TOKEN")
    return table(
        heads,
        [
            (one.volume, one.node, one.access.value, one.state.value, ago(one.since), one.token)
            for one in found
        ],
    )


def why(found: Mapping[str, Any]) -> str:
    """Show why a volume is where it is; its first line is the sentence of a refused Mount."""
    verdict = found["verdict"]
    lines = [shown(verdict["sentence"]), ""]
    lines += _lines("held", [_holder(one) for one in found["holders"]] or ["by nobody"])
    lines += _lines("used", [f"as {one}" for one in found["used_by"]])
    waiting = [*found["waiting"], found.get("not_shown", "")]
    lines += _lines("waiting", [one for one in waiting if one])
    lines += _lines("tried", found["tried"])
    if found["backend_trouble"] not in ("", verdict["sentence"]):
        lines += _lines("backend", [found["backend_trouble"]])
    lines += _lines("next", [verdict["next"]])
    if verdict["only_once"]:
        lines += _lines("only once", [verdict["only_once"]])
    where = f"on node '{verdict['where']}': " if verdict["where"] else ""
    return "\n".join([*lines, *_lines("do", [where + (verdict["command"] or "nothing")])])


def journal(found: Sequence[Mapping[str, Any]]) -> str:
    """Show events, one a line, reasons uncut."""
    return "\n".join(map(_event, found)) or "nothing was noted"


def _event(entry: Mapping[str, Any]) -> str:
    moment = datetime.fromisoformat(str(entry["at"])).astimezone(UTC)
    words = [f"{moment:%F %T}", entry["event"], entry["outcome"]]
    keys = ("volume", "node", "token", "mount_id", "by")
    words += [f"{key}={entry[key]}" for key in keys if entry.get(key)]
    if entry.get("reason"):
        words.append(f"({entry['reason']})")
    return " ".join(shown(word) for word in words)


def _holder(one: Mapping[str, Any]) -> str:
    quiet = f", silent for {one['silent_s']:.0f} s" if one["silent_s"] else ""
    return (
        f"by node '{one['node']}' as {one['access']} since {since(one['since'])},"
        f" lease {one['token']}, {one['state']}{quiet}"
    )


def _lines(head: str, texts: Sequence[str]) -> list[str]:
    """Write texts below each other, with a head beside the first."""
    return [f"{head if number == 0 else '':10}{shown(text)}" for number, text in enumerate(texts)]


def nodes(found: Sequence[Mapping[str, Any]]) -> str:
    """Show nodes, one a line."""
    heads = ("NODE", "PRESENCE", "SILENT", "GUARD", "QUARANTINE", "LEASES", "LIFE")
    keys = ("guard_level", "quarantine", "leases", "incarnation")
    return table(
        heads,
        [
            (one["node"], one["presence"], f"{one['silent_s']:g} s", *map(one.get, keys))
            for one in found
        ],
    )


def drivers(found: Sequence[Mapping[str, Any]]) -> str:
    """Show drivers, one a line, and below them why some cannot be used."""
    keys = ("name", "kind", "access", "abilities", "backends")
    heads = [key.upper() for key in keys]
    problems = [f"{one['name']}: {one['problem']}" for one in found if "problem" in one]
    return "\n".join([table(heads, [list(map(one.get, keys)) for one in found]), *problems])


def driver(found: Mapping[str, Any]) -> str:
    """Show one driver, its options, and the keys of its backends."""
    top = {key: value for key, value in found.items() if key not in ("options", "common", "config")}
    return "\n\n".join(
        (
            outline(top),
            "Options of a volume (-o NAME=VALUE):\n" + _options(found["options"]),
            "Options of a volume on any backend:\n" + _options(found["common"]),
            "Keys of a backend ([backends.NAME] in volplug.toml):\n" + _options(found["config"]),
        )
    )


def moves(found: Sequence[Mapping[str, Any]], *, dry_run: bool) -> str:
    """Show which volumes were moved into the store of a cluster, or would be."""
    clashes = [str(one["clash"]) for one in found if one["clash"]]
    if clashes:
        return "\n".join(["nothing can be moved:", *clashes])
    names = ", ".join(str(one["volume"]) for one in found) or "no volumes"
    return f"to be moved: {names}" if dry_run else f"moved: {names}"


def findings(found: Sequence[Mapping[str, Any]]) -> str:
    """Show what the doctor found; what mends a thing stands below it, never cut."""
    return "\n".join(
        f"{one['state']:8}  {one['what']}: {one['purpose']}"
        + (f"\n          → {one['fix']}" if one["state"] != "OK" and one["fix"] else "")
        for one in found
    )


def _options(found: Sequence[Mapping[str, Any]]) -> str:
    rows = [
        (one["name"], one["type"], "required" if one["required"] else one["default"], one["help"])
        for one in found
    ]
    return table(("NAME", "TYPE", "DEFAULT", "HELP"), rows) if rows else "none"
