"""What vCenter says no with, as the SDK's errors; and what is only trouble on the way.

pyVmomi raises a fault as an exception of its own type, a broken connection as OSError, and any
HTTP status but 200 and 500 as HTTPException with the number in its text. A proxy's error page with
status 500 comes out of the XML parser.
"""

import ssl
from http.client import HTTPException
from typing import Any
from xml.parsers.expat import ExpatError

from volplug.sdk import (
    AccessDenied,
    Busy,
    Exhausted,
    HostError,
    Unavailable,
    Unsupported,
    VolplugError,
    VolumeInUse,
)
from volplug_vsphere._vim import vim, vmodl

IN_USE: tuple[type[Exception], ...] = (
    vim.fault.InvalidState,
    vim.fault.ResourceInUse,
    vim.fault.FileLocked,
    vim.fault.GenericVmConfigFault,
)
"""What vCenter says when it could not lock a disk's file, in its several moods."""

_PASSING: tuple[type[Exception], ...] = (
    HTTPException,
    OSError,
    ExpatError,
    vim.fault.NotAuthenticated,
    vim.fault.TaskInProgress,
    vim.fault.ConcurrentAccess,
    vim.fault.Timedout,
    vmodl.fault.ManagedObjectNotFound,
    vmodl.fault.SystemError,
)
_SENTENCES: tuple[tuple[tuple[Any, ...], type[VolplugError], str], ...] = (
    (
        (ssl.SSLCertVerificationError,),
        Unavailable,
        "the certificate of {server} is not trusted: {words}; set ca_file to its authority's",
    ),
    (
        (vim.fault.InvalidLogin,),
        AccessDenied,
        "{server} refuses the user {user!r} or the password",
    ),
    (
        (vim.fault.NoPermission,),
        AccessDenied,
        "{server} denies {error.privilegeId!r} to {user!r}: add that privilege to its role",
    ),
    (
        (vim.fault.NoDiskSpace, vim.fault.TooManyDevices, vim.fault.FileTooLarge),
        Exhausted,
        "{server} has no room: {words}; delete volumes or use another datastore",
    ),
    (
        (
            vmodl.fault.HostNotConnected,
            vmodl.fault.HostCommunication,
            vim.fault.InvalidHostConnectionState,
            vim.fault.InvalidDatastore,
            vim.fault.DatastoreNotWritableOnHost,
        ),
        Unavailable,
        "{server} cannot reach what it needs: {words}; see the state of hosts and datastores",
    ),
    (IN_USE, VolumeInUse, "{server} finds the disk in use: {words}; see who has it attached"),
    (
        (vim.fault.TaskInProgress, vim.fault.ConcurrentAccess),
        Busy,
        "{server} is busy with that machine or disk: {words}; try again when its tasks have ended",
    ),
    (
        (vmodl.fault.MethodNotFound, vmodl.fault.NotSupported, vmodl.fault.NotImplemented),
        Unsupported,
        "{server} cannot do that: {words}; volplug needs vSphere 6.7 or later",
    ),
    (_PASSING, Unavailable, "{server} does not answer as it should: {words}; is vCenter up?"),
    (
        (vmodl.MethodFault,),
        HostError,
        "{server} refused: {words}; its list of tasks has the details",
    ),
)


def passes(error: Exception) -> bool:
    """Whether looking again and going on from there may well succeed a moment later."""
    return isinstance(error, _PASSING) and not isinstance(error, ssl.SSLCertVerificationError)


def refusal(error: Exception, server: str, user: str) -> VolplugError:
    """Return the sentence for an error that is vCenter's last word; other errors are raised."""
    for kinds, kind, sentence in _SENTENCES:
        if isinstance(error, kinds):
            return kind(sentence.format(error=error, words=_words(error), server=server, user=user))
    raise error


def _words(error: Any) -> str:
    """Return a fault's kind and message, without the many lines that it prints itself as."""
    message = error.msg if isinstance(error, vmodl.MethodFault) else str(error)
    kind = type(error).__name__.rsplit(".", 1)[-1]
    return f"{kind} ({' '.join(message.split())})" if message else kind
