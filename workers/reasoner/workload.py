"""Problems in plain English with worked steps and one verifiable answer: what the bundled reasoners learn and are judged on.

Six families, eight levels each, from trivial to beyond the largest bundled model. `chain_sum`, `basic_arithmetic`, `leg_counting` and `gcd`
are worded as in reasoning-gym (open-thought/reasoning-gym, Apache-2.0), so that its own generators and checkers can be put beside ours.

A question belongs to exactly one split, by its own text: `train`, `calibration` and `test` can never share a question.
"""

import itertools
import operator
import random
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import gcd
from typing import Literal

Split = Literal["train", "calibration", "test"]
LEVELS = range(1, 9)
_BUCKETS = 10
_OPERATORS = {"+": operator.add, "-": operator.sub, "*": operator.mul}


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One question, its worked steps and its answer; `level` runs from 1 (trivial) to 8."""

    family: str
    level: int
    question: str
    steps: tuple[str, ...]
    answer: str


def split_of(question: str) -> Split:
    """The one split this question may be used in: a tenth for tests, a tenth for calibration, the rest for training."""
    bucket = zlib.crc32(question.encode()) % _BUCKETS
    return "test" if bucket == 0 else "calibration" if bucket == 1 else "train"


def problems(split: Split, seed: int, *, families: tuple[str, ...] = (), levels: range = LEVELS) -> Iterator[Problem]:
    """An endless stream of problems of one split, families and levels drawn uniformly."""
    rng = random.Random(f"{split}-{seed}")
    names = families or tuple(FAMILIES)
    while True:
        problem = FAMILIES[rng.choice(names)](rng, rng.choice(levels))
        if split_of(problem.question) == split:
            yield problem


# --- stories -----------------------------------------------------------------------------------------------------------

_PEOPLE = ("Tom", "Mia", "Ben", "Ana", "Leo", "Eva", "Sam", "Zoe", "Max", "Ivy", "Dan", "Lily", "Omar", "Nina", "Raj", "Kim")
_THINGS = ("apples", "books", "coins", "pens", "cards", "shells", "marbles", "stickers", "eggs", "stamps", "balls", "cookies")
_GAINS = ("buys {n} more {t}", "finds {n} {t}", "gets {n} {t} from {f}", "wins {n} {t}")
_LOSSES = ("gives {n} {t} to {f}", "loses {n} {t}", "sells {n} {t}", "drops {n} {t}")
_ASIDES = ("{f} has {n} {t}.", "{f} is {n} years old.", "The shop is {n} miles away.")


def stories(rng: random.Random, level: int) -> Problem:
    """One person's belongings through several events; asides must be ignored at the higher levels."""
    person, thing = rng.choice(_PEOPLE), rng.choice(_THINGS)
    top = (10, 15, 20, 30, 40, 60, 80, 99)[level - 1]
    total = rng.randint(2, top)
    sentences, steps = [f"{person} has {total} {thing}."], []
    for _ in range(rng.randint(max(1, level - 1), level + level // 3)):
        sentence, step, total = _event(rng, total, top, person, thing)
        sentences.append(sentence)
        steps.append(step)
        if level >= 3 and rng.random() < 0.15:
            sentences.append(rng.choice(_ASIDES).format(f=_friend(rng, person), n=rng.randint(2, top), t=rng.choice(_THINGS)))
    sentences.append(f"How many {thing} does {person} have now?")
    return Problem(family="stories", level=level, question=" ".join(sentences), steps=tuple(steps), answer=str(total))


def _friend(rng: random.Random, person: str) -> str:
    return rng.choice([name for name in _PEOPLE if name != person])


def _event(rng: random.Random, total: int, top: int, person: str, thing: str) -> tuple[str, str, int]:
    kind = rng.random()
    if kind < 0.12 and 0 < total <= 150:
        factor, verb = rng.choice(((2, "doubles"), (3, "triples")))
        return f"Then the number of {thing} {verb}.", f"{total} * {factor} = {total * factor}", total * factor
    if kind < 0.2 and total >= 2 and total % 2 == 0:
        return f"Then half of the {thing} break.", f"{total} / 2 = {total // 2}", total // 2
    amount = rng.randint(1, top)
    if kind < 0.6 or amount > total:
        template, sign, after = rng.choice(_GAINS), "+", total + amount
    else:
        template, sign, after = rng.choice(_LOSSES), "-", total - amount
    clause = template.format(n=amount, t=thing, f=_friend(rng, person))
    return f"Then {person} {clause}.", f"{total} {sign} {amount} = {after}", after


# --- sums and expressions ----------------------------------------------------------------------------------------------


def chain_sum(rng: random.Random, level: int) -> Problem:
    """Numbers added and subtracted from left to right (reasoning-gym `chain_sum`)."""
    digits = (1, 1, 2, 2, 2, 3, 3, 4)[level - 1]
    count = rng.randint(level // 2 + 2, level // 2 + 3)
    low = 0 if digits == 1 else 10 ** (digits - 1)
    total = rng.randint(low, 10**digits - 1)
    expression, steps = str(total), []
    for _ in range(count - 1):
        sign, number = rng.choice("+-"), rng.randint(low, 10**digits - 1)
        after = _OPERATORS[sign](total, number)
        expression += f" {sign} {number}"
        steps.append(f"{total} {sign} {number} = {after}")
        total = after
    question = f"State the final answer to the following arithmetic problem: {expression} ="
    return Problem(family="chain_sum", level=level, question=question, steps=tuple(steps), answer=str(total))


_Node = int | tuple[str, "_Node", "_Node"]


def basic_arithmetic(rng: random.Random, level: int) -> Problem:
    """Nested sums, differences and products, reduced one innermost operation at a time (reasoning-gym `basic_arithmetic`)."""
    tree = _expression(rng, (1, 2, 2, 3, 3, 4, 5, 6)[level - 1], (9, 9, 12, 12, 20, 20, 25, 30)[level - 1])
    question, steps = f"Calculate {_show(tree)}.", []
    while not isinstance(tree, int):
        operation, value = _innermost(tree)
        tree = _reduce(tree)
        steps.append(f"{operation} = {value}" if isinstance(tree, int) else f"{operation} = {value} ; {_show(tree)}")
    return Problem(family="basic_arithmetic", level=level, question=question, steps=tuple(steps), answer=str(tree))


def _expression(rng: random.Random, operations: int, top: int) -> _Node:
    if operations == 0:
        return rng.randint(1, top)
    left = rng.randint(0, operations - 1)
    sign = rng.choice("++--*")
    if sign == "*" and operations > 1:  # products of numbers only, so that values stay small enough to learn
        sign = "+" if rng.random() < 0.5 else "-"
    if sign == "*":
        return (sign, rng.randint(2, 12), rng.randint(2, 12))
    return (sign, _expression(rng, left, top), _expression(rng, operations - 1 - left, top))


def _show(node: _Node, *, inner: bool = False) -> str:
    if isinstance(node, int):
        return str(node)
    sign, left, right = node
    text = f"{_show(left, inner=True)} {sign} {_show(right, inner=True)}"
    return f"({text})" if inner else text


def _innermost(node: _Node) -> tuple[str, int]:
    assert not isinstance(node, int)
    sign, left, right = node
    if not isinstance(left, int):
        return _innermost(left)
    if not isinstance(right, int):
        return _innermost(right)
    return f"{left} {sign} {right}", _OPERATORS[sign](left, right)


def _reduce(node: _Node) -> _Node:
    assert not isinstance(node, int)
    sign, left, right = node
    if not isinstance(left, int):
        return (sign, _reduce(left), right)
    if not isinstance(right, int):
        return (sign, left, _reduce(right))
    value: int = _OPERATORS[sign](left, right)
    return value


# --- counting, divisors, orders ----------------------------------------------------------------------------------------

_LEGS = {
    "ant": 6, "bee": 6, "bird": 2, "butterfly": 6, "cat": 4, "chicken": 2, "cow": 4, "crab": 10, "dog": 4, "duck": 2, "elephant": 4,
    "fish": 0, "grasshopper": 6, "horse": 4, "human": 2, "lion": 4, "lobster": 10, "scorpion": 8, "sheep": 4, "snail": 0, "snake": 0,
    "spider": 8, "tiger": 4,
}  # fmt: skip


def leg_counting(rng: random.Random, level: int) -> Problem:
    """Legs of several kinds of animals, multiplied and added up (reasoning-gym `leg_counting`)."""
    top = (3, 5, 7, 9, 12, 15, 20, 25)[level - 1]
    animals = rng.sample(sorted(_LEGS), (1, 2, 2, 3, 4, 5, 6, 8)[level - 1])
    counts = [rng.randint(1, top) for _ in animals]
    parts = [count * _LEGS[animal] for animal, count in zip(animals, counts, strict=True)]
    steps = [f"{animal}: {count} * {_LEGS[animal]} = {part}" for animal, count, part in zip(animals, counts, parts, strict=True)]
    total = parts[0]
    for part in parts[1:]:
        steps.append(f"{total} + {part} = {total + part}")
        total += part
    listed = ", ".join(f"{count} {animal}{'s' if count > 1 else ''}" for animal, count in zip(animals, counts, strict=True))
    question = f"How many legs are there in total if you have {listed}?"
    return Problem(family="leg_counting", level=level, question=question, steps=tuple(steps), answer=str(total))


def greatest_divisor(rng: random.Random, level: int) -> Problem:
    """The greatest common divisor by Euclid's algorithm (reasoning-gym `gcd`)."""
    top = (10, 20, 30, 45, 60, 90, 150, 400)[level - 1]
    divisor = rng.randint(1, max(2, top // 8))
    first, second = (divisor * rng.randint(1, max(2, top // divisor)) for _ in range(2))
    larger, smaller, steps = max(first, second), min(first, second), []
    while smaller:
        steps.append(f"{larger} = {larger // smaller} * {smaller} + {larger % smaller}")
        larger, smaller = smaller, larger % smaller
    question = f"Find the Greatest Common Divisor (GCD) of these numbers: {first}, {second}."
    assert larger == gcd(first, second)
    return Problem(family="gcd", level=level, question=question, steps=tuple(steps), answer=str(larger))


def ordering(rng: random.Random, level: int) -> Problem:
    """Who is where in a line, from pairwise comparisons told in any order."""
    names = rng.sample(_PEOPLE, (2, 3, 4, 5, 6, 7, 8, 10)[level - 1])
    more, most, least = rng.choice((("older", "oldest", "youngest"), ("taller", "tallest", "shortest"), ("faster", "fastest", "slowest")))
    facts = [f"{above} is {more} than {below}." for above, below in itertools.pairwise(names)]
    rng.shuffle(facts)
    steps = [f"{above} > {below}" for above, below in itertools.pairwise(names)]
    if rng.random() < 0.5 or len(names) < 3:
        asked, answer = rng.choice(((most, names[0]), (least, names[-1])))
    else:
        place = rng.randint(2, min(4, len(names)))
        asked, answer = f"{('second', 'third', 'fourth')[place - 2]} {most}", names[place - 1]
    question = " ".join([*facts, f"Who is the {asked}?"])
    return Problem(family="ordering", level=level, question=question, steps=tuple(steps), answer=answer)


FAMILIES: dict[str, Callable[[random.Random, int], Problem]] = {
    "stories": stories,
    "chain_sum": chain_sum,
    "basic_arithmetic": basic_arithmetic,
    "leg_counting": leg_counting,
    "gcd": greatest_divisor,
    "ordering": ordering,
}
