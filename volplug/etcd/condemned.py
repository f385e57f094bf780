"""Condemnations as they are kept: for ever, each under the token that was condemned."""

import json
from datetime import datetime

from volplug.etcd.entry import moment_to_text
from volplug.etcd.keys import Keys
from volplug.etcd.wire import KeyValue, Words, put
from volplug.lease import Condemnation


def write(keys: Keys, condemnation: Condemnation) -> Words:
    """Write a condemnation."""
    fields = {
        "node": condemnation.node,
        "by": condemnation.by,
        "reason": condemnation.reason,
        "at": moment_to_text(condemnation.at),
    }
    return put(keys.condemnation(condemnation.volume, condemnation.token), json.dumps(fields))


def read(keys: Keys, found: KeyValue) -> Condemnation:
    """Read what `write` wrote."""
    volume, token = keys.condemnation_parts(found.key)
    fields = json.loads(found.value)
    at = datetime.fromisoformat(fields["at"])
    return Condemnation(volume, fields["node"], token, fields["by"], fields["reason"], at)
