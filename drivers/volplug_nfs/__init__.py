"""Subdirectories of an NFS export.

`nfs` works with any server. `nfs-ganesha`, for servers whose D-Bus can be reached, gives each
volume an export of its own and can so cut a single node off from it.
"""

from volplug_nfs._driver import NfsDriver
from volplug_nfs._ganesha import GaneshaDriver
from volplug_nfs._settings import GaneshaConfig, NfsConfig

__all__ = ["GaneshaConfig", "GaneshaDriver", "NfsConfig", "NfsDriver"]
