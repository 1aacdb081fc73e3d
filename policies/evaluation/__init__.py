"""Off-policy evaluation: what a policy would have earned, from the log of another that left some of its choices to chance."""

from policies.evaluation.estimate import Estimate, difference, estimate
from policies.evaluation.estimators import dr, ips, snips, switch_dr
from policies.evaluation.intervals import Interval
from policies.evaluation.logs import Trajectories, Trials
from policies.evaluation.sequence import Sequence, sequence
from policies.evaluation.sequential import pdis, sequential_dr, wdr, wpdis
from policies.evaluation.support import Overlap, Support, overlap

__all__ = [
    "Estimate",
    "Interval",
    "Overlap",
    "Sequence",
    "Support",
    "Trajectories",
    "Trials",
    "difference",
    "dr",
    "estimate",
    "ips",
    "overlap",
    "pdis",
    "sequence",
    "sequential_dr",
    "snips",
    "switch_dr",
    "wdr",
    "wpdis",
]
