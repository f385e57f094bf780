"""How a volume is known again: tags that come into being with it, and the token that orders it.

The token is derived, so that whoever repeats the order after a crash sends the same one. It is
derived from the wishes and the attempt too: a token is used up for good by a volume that was
deleted or failed, and EC2 refuses it with other parameters.
"""

import hashlib

from volplug_ebs._order import Order

CLUSTER, NAME, MADE_AS, ATTEMPT, SNAPSHOT = (
    f"volplug:{word}" for word in ("cluster", "name", "made-as", "attempt", "snapshot")
)


def tags(cluster: str, name: str, order: Order, attempt: int) -> list[dict[str, str]]:
    """Return the tags of a volume, as EC2 takes them."""
    marks = {
        "Name": name,
        CLUSTER: cluster,
        NAME: name,
        MADE_AS: order.text,
        ATTEMPT: str(attempt),
    }
    return [{"Key": key, "Value": value} for key, value in marks.items()]


def token(cluster: str, name: str, order: Order, attempt: int) -> str:
    """Derive a client token of 64 characters, which is the most that EC2 takes."""
    wishes = "\0".join((cluster, name, order.operation, order.text, str(attempt)))
    return hashlib.sha256(wishes.encode()).hexdigest()
