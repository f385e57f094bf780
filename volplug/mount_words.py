"""Mount options from operators and users, against a list of what a kind of share has.

What stands in a list of allowed options is decided by the operator, and what can stand there at all
by the driver: some options of mount.nfs and of glusterfs write files or name programs, and
`mount -o bind` ignores the server altogether (backends-file 1.3).
"""

import re
from collections.abc import Iterable, Mapping

from volplug.errors import InvalidOptions

NUMBER = r"=\d{1,9}"
FLAG = ""


class MountWords:
    """The mount options of one kind of share.

    `known` gives for each name the pattern of what follows it; a name in `slots` takes the place
    of others, as `soft` does of `hard`. `ours` are the driver's own, `operator` the backend's, and
    `allowed` the names that a volume's options may set. Raises InvalidOptions for an operator's
    mistake.
    """

    def __init__(
        self,
        known: Mapping[str, str],
        *,
        slots: Mapping[str, str],
        ours: Iterable[str],
        operator: Iterable[str],
        allowed: Iterable[str],
    ) -> None:
        self._known, self._slots = known, slots
        self._allowed = frozenset(allowed)
        unknown = sorted(self._allowed - set(known))
        if unknown:
            raise InvalidOptions(
                f"allowed_options: {unknown[0]!r} is no mount option that users may be given "
                f"(known: {', '.join(sorted(known))})"
            )
        self._base = self._with({self._slot(word): word for word in ours}, operator)

    def check(self, given: Iterable[str]) -> None:
        """Raise InvalidOptions unless a user may set each of the options."""
        for word in given:
            name = word.partition("=")[0]
            if name not in self._allowed:
                allowed = ", ".join(sorted(self._allowed)) or "none"
                raise InvalidOptions(
                    f"mount option {word[:60]!r} is not allowed on this backend "
                    f"(allowed: {allowed}); its operator can add it to allowed_options"
                )
        self._with({}, given)

    def text(self, given: Iterable[str], *more: str) -> tuple[str, ...]:
        """Return all options: the driver's, then `more`, the operator's, and the user's `given`.

        The last one of its name, or slot, counts. Raises InvalidOptions as `check` does.
        """
        given = tuple(given)
        self.check(given)
        words = {self._slot(word): word for word in more} | self._base
        return tuple(self._with(words, given).values())

    def _with(self, words: dict[str, str], given: Iterable[str]) -> dict[str, str]:
        for word in given:
            name, equals, value = word.partition("=")
            pattern = self._known.get(name)
            if pattern is None or not re.fullmatch(pattern, equals + value, re.ASCII):
                raise InvalidOptions(
                    f"mount option {word[:60]!r} is not one of this kind of share, "
                    f"or its value is not (known: {', '.join(sorted(self._known))})"
                )
            words[self._slot(word)] = word
        return words

    def _slot(self, word: str) -> str:
        name = word.partition("=")[0]
        return self._slots.get(name, name)
