"""open-iscsi as we use it: node records of our own, a login, a logout.

Records are made without discovery, which would bring every portal that the target names, reachable
or not. Left to its defaults open-iscsi tries a dead portal for two minutes and scans all LUNs. What
the target wants to know of us (CHAP) stands in iscsid.conf and comes into the record from there: it
is on no command line.
"""

from volplug.command import run
from volplug.deadline import deadline
from volplug.errors import AccessDenied, HostError, Unavailable, VolplugError

_LOGIN_S, _LOGOUT_S = 40.0, 40.0
_ANSWER_S, _TRIES = 10, 2

# iscsiadm(8), "EXIT STATUS".
_SESSION_NOT_FOUND, _SESSION_EXISTS, _NO_OBJECTS = 2, 15, 21
_NO_DAEMON = (18, 20)
_REFUSED = (19, 24)

ONE_WAY_S, MANY_WAYS_S = 120, 5
"""How long what is written waits for a lost session, before it fails: with no other way to the LUN,
as long as an array may take to move an address to its other controller; else hardly at all."""


def log_in(iqn: str, portal: str, *, patience_s: int) -> None:
    """Log in through a portal. Logged in already is success.

    Raises Unavailable if the target does not answer, AccessDenied if it refuses this initiator,
    and HostError if iscsid is not there.
    """
    settings = {
        "node.startup": "manual",
        "node.session.scan": "manual",
        "node.conn[0].timeo.login_timeout": _ANSWER_S,
        "node.session.initial_login_retry_max": _TRIES,
        "node.session.timeo.replacement_timeout": patience_s,
    }
    words = [word for key, value in settings.items() for word in ("-n", key, "-v", str(value))]
    with deadline(_LOGIN_S):
        _node(iqn, portal, "-o", "new")
        _node(iqn, portal, "-o", "update", *words)
        _node(iqn, portal, "--login", also=(_SESSION_EXISTS,))


def log_out(iqn: str, portal: str) -> None:
    """End the session through a portal. No session is success."""
    with deadline(_LOGOUT_S):
        _node(iqn, portal, "--logout", also=(_SESSION_NOT_FOUND, _NO_OBJECTS))


def forget(iqn: str, portal: str) -> None:
    """Remove the record of a portal. No record is success."""
    _node(iqn, portal, "-o", "delete", also=(_NO_OBJECTS,))


def _node(iqn: str, portal: str, *words: str, also: tuple[int, ...] = ()) -> None:
    argv = ["iscsiadm", "-m", "node", "-T", iqn, "-p", portal, *words]
    result = run(argv, expect=range(256))
    if result.code not in (0, *also):
        raise _refusal(iqn, portal, result.code, result.words)


def _refusal(iqn: str, portal: str, code: int, words: str) -> VolplugError:
    if code in _NO_DAEMON:
        return HostError(
            f"iscsiadm cannot reach iscsid (code {code}: {words}): start it with `systemctl start "
            "iscsid`; `volplug doctor` tells what else iSCSI needs"
        )
    if code in _REFUSED:
        return AccessDenied(
            f"the iSCSI target {iqn} at {portal} refuses this node (code {code}: {words}): compare "
            "/etc/iscsi/initiatorname.iscsi and the CHAP secret in /etc/iscsi/iscsid.conf with "
            "what the array allows"
        )
    return Unavailable(
        f"there is no iSCSI session with {iqn} at {portal} (code {code}: {words}): check the "
        "portal and the network"
    )
