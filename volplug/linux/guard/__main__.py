"""`python -m volplug.linux.guard …` leaves a guard behind, for the agent where none is there."""

import sys

from volplug.linux.guard.beginning import detach
from volplug.linux.guard.post import Post


def main() -> int:
    """Leave a guard behind that serves at the post that the arguments name."""
    try:
        detach(Post.of(sys.argv[1:]))
    except OSError as error:
        sys.stderr.write(f"the guard could not start: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
