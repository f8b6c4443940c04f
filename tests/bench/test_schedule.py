"""Arrivals are fixed beforehand: by the seed alone, at the rates that were asked for."""

import numpy as np
import pytest

from checklane.bench.figures import BenchError
from checklane.bench.load.plan import (
    ARRIVAL,
    DAY_PROFILE,
    RESULT,
    day_times,
    make_arrivals,
    poisson_times,
)


def test_a_seed_decides_all_arrivals():
    scripts = [[0, 1, 2], [3]]
    one, same, other = (
        make_arrivals(poisson_times(1000, 2, seed), scripts, seed) for seed in (1, 1, 2)
    )
    assert (one == same).all()
    assert len(one) != len(other) or (one != other).any()


def test_arrivals_are_independent_and_have_their_rate():
    times_s = poisson_times(5000, 20, 1) / 1e9
    assert abs(len(times_s) - 100_000) < 5 * np.sqrt(100_000)
    assert (np.diff(times_s) >= 0).all()
    assert times_s[-1] < 20
    gaps = np.diff(times_s)
    # Exponential gaps: as wide as their mean, and more than a third of them longer than it.
    assert abs(gaps.std() / gaps.mean() - 1) < 0.02
    assert abs((gaps > gaps.mean()).mean() - np.exp(-1)) < 0.01
    counts = np.histogram(times_s, bins=2000)[0]
    assert abs(counts.var() / counts.mean() - 1) < 0.15


def test_a_day_has_its_peak_where_the_profile_says():
    times_s = day_times(10_000, 15, 1) / 1e9
    counts = np.histogram(times_s, bins=len(DAY_PROFILE), range=(0, 15))[0]
    wanted = np.array(DAY_PROFILE) / np.mean(DAY_PROFILE) * 10_000
    assert (np.abs(counts - wanted) < 5 * np.sqrt(wanted)).all()
    assert counts.argmax() == DAY_PROFILE.index(max(DAY_PROFILE))


def test_each_lane_sends_its_script_by_turns():
    scripts = [[0, 1, 2], [3, 4], [5]]
    arrivals = make_arrivals(poisson_times(1000, 1, 1), scripts, 1)
    for lane, script in enumerate(scripts):
        mine = arrivals["request"][arrivals["lane"] == lane].tolist()
        assert len(mine) > 200
        assert mine == [script[turn % len(script)] for turn in range(len(mine))]
    assert (arrivals["act"] == 0).all()


def test_structs_have_the_sizes_that_c_asserts():
    assert (ARRIVAL.itemsize, RESULT.itemsize) == (16, 48)


@pytest.mark.parametrize(("rate", "seconds"), [(0, 1), (-1, 1), (10, 0)])
def test_no_load_is_refused(rate, seconds):
    with pytest.raises(BenchError, match="above zero"):
        poisson_times(rate, seconds, 1)
