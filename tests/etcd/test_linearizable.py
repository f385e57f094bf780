"""The slow check of a history finds what is broken, and agrees with the fast one."""

from random import Random

import pytest

from tests.etcd.history import History, Tenure, assert_exclusive, assert_in_real_time_order
from tests.etcd.linearizable import WINDOW, assert_linearizable, is_linearizable
from volplug.etcd.keys import Keys


def tenure(node: str, token: int, asked_s: float, granted_s: float, left_s: float) -> Tenure:
    """Return a tenure of the one volume."""
    return Tenure("data", node, token, asked_s, granted_s, left_s)


HANDED_OVER = [tenure("a", 1, 0, 1, 5), tenure("b", 2, 2, 6, 8), tenure("a", 3, 7, 9, 10)]


def test_a_hand_over_fits_an_order() -> None:
    """Who asked while another had the volume, and got it after, is no contradiction."""
    assert assert_linearizable(HANDED_OVER) == 1
    assert assert_linearizable(HANDED_OVER + later(HANDED_OVER, WINDOW)) > 1


@pytest.mark.parametrize(
    "broken",
    [
        pytest.param([tenure("a", 1, 0, 1, 5), tenure("b", 2, 2, 4, 8)], id="two at a time"),
        pytest.param([tenure("a", 2, 0, 1, 2), tenure("b", 1, 3, 4, 5)], id="an older token later"),
        pytest.param([tenure("a", 1, 0, 1, 2), tenure("b", 1, 3, 4, 5)], id="a token twice"),
        pytest.param(
            [tenure("a", 1, 0, 1, 9), tenure("b", 2, 2, 10, 11), tenure("b", 3, 3, 8, 12)],
            id="hidden behind a late answer",
        ),
    ],
)
def test_broken_histories_fit_no_order(broken: list[Tenure]) -> None:
    """Nothing explains two holders at a time, nor tokens that do not grow."""
    assert not is_linearizable(broken)
    with pytest.raises(AssertionError, match="no order explains"):
        assert_linearizable(broken)


def test_both_checks_agree() -> None:
    """On nodes that do one thing after the other, the fast check says what the slow one says."""
    random, verdicts = Random(1), []  # noqa: S311  chance, not a secret
    for _ in range(400):
        history = drawn(random)
        verdict = is_linearizable(history)
        assert passes_fast(history) is verdict, history
        verdicts.append(verdict)
    assert 40 < sum(verdicts) < 360, "both good and broken histories are drawn"


def drawn(random: Random) -> list[Tenure]:
    """Return a history, mostly in order, whose volume is taken a little too soon now and then."""
    free_s, history = 0.0, []
    idle_s = {"a": 0.0, "b": 0.0, "c": 0.0}
    for token in range(1, WINDOW + 1):
        node = random.choice("abc")
        asked_s = idle_s[node] + random.uniform(0, 2)
        granted_s = max(asked_s, free_s - random.choice((0, 0, 0, 0, 0, 0.5))) + random.random()
        left_s = granted_s + random.uniform(0, 3)
        history.append(tenure(node, token, asked_s, granted_s, left_s))
        free_s = idle_s[node] = left_s
    return history


def passes_fast(history: list[Tenure]) -> bool:
    """Say what the fast check says."""
    try:
        assert_exclusive(History(), Keys("/volplug"), history)
        assert_in_real_time_order(history)
    except AssertionError:
        return False
    return True


def later(tenures: list[Tenure], times: int) -> list[Tenure]:
    """Return the same again, some times, each time later and with newer tokens."""
    return [
        tenure(one.node, one.token + 3 * n, one.asked_s + 10 * n, one.granted_s + 10 * n,
               one.left_s + 10 * n)
        for n in range(1, times + 1)
        for one in tenures
    ]  # fmt: skip
