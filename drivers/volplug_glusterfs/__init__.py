"""Subdirectories of a Gluster volume, mounted through FUSE.

`glusterfs` needs no rights but those of any client. `glusterfs-managed`, which may run the gluster
command, adds sizes as directory quotas and fences as `auth.allow` of the subdirectory.
"""

from volplug_glusterfs._driver import GlusterDriver
from volplug_glusterfs._managed import ManagedGlusterDriver
from volplug_glusterfs._settings import GlusterConfig, ManagedGlusterConfig, ManagedGlusterOptions

__all__ = [
    "GlusterConfig",
    "GlusterDriver",
    "ManagedGlusterConfig",
    "ManagedGlusterDriver",
    "ManagedGlusterOptions",
]
