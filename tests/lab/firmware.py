"""A guest's firmware says what VMware's says, by which a vCenter's machine knows who it is.

It spells the UUID in its own way in the serial number; no other backend looks there.
"""


def firmware(uuid: str) -> str:
    """Return QEMU's words for the firmware of a machine with that UUID."""
    digits = uuid.replace("-", "")
    pairs = [digits[start : start + 2] for start in range(0, 32, 2)]
    serial = f"VMware-{' '.join(pairs[:8])}-{' '.join(pairs[8:])}"
    return f"type=1,manufacturer=VMware,, Inc.,serial={serial}"
