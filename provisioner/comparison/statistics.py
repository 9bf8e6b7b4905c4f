"""Two sets of runs, phase by phase: medians, spread, their ratio with an interval, a test, outliers.

Only `provisioner compare` imports this: numpy and scipy take longer to load than most commands to run.
"""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from provisioner.runs.phases import PHASES
from provisioner.runs.record_data import RecordData

__all__ = [
    "METHODS",
    "TOLERANCE",
    "TOTAL",
    "Comparison",
    "PhaseTimes",
    "compare",
    "is_slower",
    "reproduces",
    "times_of",
]

TOTAL = "total"
"""The whole run, beside its phases."""

CONFIDENCE = 0.95
SIGNIFICANCE = 0.05
TOLERANCE = 0.1
"""So far from A's median may B's be, as a share of it, and the time counts as repeated."""
RESAMPLES = 9999
BATCH = 1000
"""So many permutations are in memory at once."""
SEED = 0
"""The same runs give the same interval and the same p."""
FENCE = 1.5
"""Tukey's: a value further than so many interquartile ranges outside the quartiles is an outlier."""
ENOUGH_FOR_QUARTILES = 5

METHODS = {
    "interval": f"{CONFIDENCE:.0%}, of the ratio of medians B/A: percentile bootstrap, {RESAMPLES} resamples",
    "test": f"Mann-Whitney U, two-sided, exact where there are at most {RESAMPLES} ways to share the runs out, else by"
    f" {RESAMPLES} random ones; not corrected for the number of phases",
    "outliers": f"{FENCE} interquartile ranges outside the quartiles (Tukey), from {ENOUGH_FOR_QUARTILES} samples on",
}
"""How the figures were made, for whoever reads them."""

Values = NDArray[np.float64]


@dataclass(frozen=True)
class PhaseTimes:
    """What one side says of a phase: seconds by run."""

    seconds: Mapping[str, float]

    @property
    def values(self) -> Values:
        """The seconds alone."""
        return np.array(list(self.seconds.values()), dtype=np.float64)


@dataclass(frozen=True)
class Summary:
    """A sample's figures: times in seconds, null where there are too few; outliers as {run_id: seconds}."""

    n: int
    median: float | None
    iqr: float | None
    mad: float | None
    outliers: Mapping[str, float]


@dataclass(frozen=True)
class Comparison:
    """A phase on both sides. `ratio` is of medians, B to A; `interval` its confidence interval; `p` the test's."""

    a: Summary
    b: Summary
    ratio: float | None
    interval: tuple[float, float] | None
    p: float | None
    too_few: bool
    """So few samples that the test could not be significant, whatever they were."""


def times_of(records: Sequence[RecordData], phase: str) -> PhaseTimes:
    """Return the seconds of a phase, or of TOTAL, of the records in which it went well."""
    times = Counter(record["run_id"] for record in records)
    # A host may call its run as another's is called.
    named = {r["run_id"] if times[r["run_id"]] == 1 else f"{r['run_id']} on {r['host']}": r for r in records}
    if phase == TOTAL:
        found = {name: record["total_seconds"] for name, record in named.items() if record["outcome"] == "ok"}
    else:
        found = {
            name: part["seconds"]
            for name, record in named.items()
            for part in record["phases"]
            if part["name"] == phase and part["outcome"] == "ok"
        }
    return PhaseTimes({run_id: float(seconds) for run_id, seconds in found.items() if seconds is not None})


def compare(a: Sequence[RecordData], b: Sequence[RecordData]) -> dict[str, Comparison]:
    """Return the comparison of each phase that either side has, and of TOTAL."""
    compared = {}
    for phase in (*PHASES, TOTAL):
        ours, theirs = times_of(a, phase), times_of(b, phase)
        if ours.seconds or theirs.seconds:
            compared[phase] = _compare(ours, theirs)
    return compared


def is_slower(phase: Comparison, share: float) -> bool:
    """Return whether B is slower than A by more than `share` (0.1 is 10 %), by its median.

    Where there are samples enough to tell it from chance, it must also be significant.
    """
    if phase.ratio is None or phase.ratio <= 1 + share:
        return False
    return phase.too_few or phase.p is None or phase.p < SIGNIFICANCE


def reproduces(phase: Comparison) -> str | None:
    """Return whether B repeats A's time: same, slower or faster; None where one side has none.

    The same is a ratio of medians within TOLERANCE, or one that is no different by the test, where that can tell.
    """
    if phase.ratio is None:
        return None
    alike = 1 / (1 + TOLERANCE) <= phase.ratio <= 1 + TOLERANCE
    if alike or (not phase.too_few and phase.p is not None and phase.p >= SIGNIFICANCE):
        return "same"
    return "slower" if phase.ratio > 1 else "faster"


def _compare(a: PhaseTimes, b: PhaseTimes) -> Comparison:
    one, other = _summary(a), _summary(b)
    ratio = other.median / one.median if one.median and other.median is not None else None
    return Comparison(
        a=one,
        b=other,
        ratio=ratio,
        interval=_interval(a.values, b.values) if ratio is not None and min(one.n, other.n) > 1 else None,
        p=_p(a.values, b.values) if one.n and other.n else None,
        # The smallest p that the test can give: one of all the ways to share the samples out, on either tail.
        too_few=2 / math.comb(one.n + other.n, one.n) >= SIGNIFICANCE,
    )


def _summary(times: PhaseTimes) -> Summary:
    values = times.values
    n = len(values)
    if not n:
        return Summary(n=0, median=None, iqr=None, mad=None, outliers={})
    low, median, high = map(float, np.quantile(values, [0.25, 0.5, 0.75]))
    reach = FENCE * (high - low)
    outside = {
        run_id: seconds
        for run_id, seconds in times.seconds.items()
        if n >= ENOUGH_FOR_QUARTILES and not low - reach <= seconds <= high + reach
    }
    return Summary(
        n=n,
        median=median,
        iqr=high - low if n > 1 else None,
        mad=float(stats.median_abs_deviation(values)) if n > 1 else None,
        outliers=outside,
    )


def _p(a: Values, b: Values) -> float:
    """Return the p of the two-sided Mann-Whitney U test, by permutation of the ranks.

    Not by SciPy's mannwhitneyu: with ties that takes the normal distribution, however few the samples are. The rank
    sum is U and a constant, and takes a tenth of the time.
    """
    if min(len(a), len(b)) == 1:  # SciPy permutes no lone value; no tie among the others changes where it stands
        return float(stats.mannwhitneyu(a, b, alternative="two-sided", method="exact").pvalue)
    ranks = stats.rankdata(np.concatenate((a, b)))
    found = stats.permutation_test(
        (ranks[: len(a)], ranks[len(a) :]),
        lambda ranks, _others, axis: ranks.sum(axis=axis),
        vectorized=True,
        n_resamples=RESAMPLES,
        batch=BATCH,
        rng=np.random.default_rng(SEED),
    )
    return float(found.pvalue)


def _interval(a: Values, b: Values) -> tuple[float, float] | None:
    """Return the bootstrap interval of the ratio of medians.

    By percentiles: the corrections of BCa are undefined where resampled medians take few values, as with few runs.
    """

    def ratio(a: Values, b: Values, axis: int) -> Values:
        return np.asarray(np.median(b, axis=axis) / np.median(a, axis=axis))

    if not a.all():
        return None  # a resampled median may be zero
    found = stats.bootstrap(
        (a, b),
        ratio,
        n_resamples=RESAMPLES,
        confidence_level=CONFIDENCE,
        method="percentile",
        vectorized=True,
        rng=np.random.default_rng(SEED),
    ).confidence_interval
    return float(found.low), float(found.high)
