"""The guard: a small process that stops this node's writers when nobody renews any more."""

from volplug.linux.guard.beginning import detach, serve
from volplug.linux.guard.client import GuardClient
from volplug.linux.guard.post import Post

__all__ = ["GuardClient", "Post", "detach", "serve"]
