"""What a reward says of the answer that was given, where it may be of another one."""

from collections.abc import Mapping


def worth(answers: Mapping[int, str], given: str, stage: int, reward: float, *, planned: bool) -> float | None:
    """The worth of the answer `given`, by a reward of what the plan at `stage` answered (negative: of that answer); None where it tells nothing."""
    if planned or stage < 0 or answers.get(stage) == given:
        return reward
    return 0.0 if reward == 1 else None  # another answer is right; or another is wrong, which tells nothing of this one
