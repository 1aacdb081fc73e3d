"""Skills: what is taught is true, worked out here from the questions again."""

import itertools
import random
import subprocess
import sys

import pytest

from workers.reasoner.prompt import SKILLS, completion, prompt
from workers.reasoner.skills import TEACH, Attempt, check, code, corrupt, examples, mark, right_lines
from workers.reasoner.workload import FAMILIES, Problem, problems, split_of

SUM = Problem(family="chain_sum", level=1, question="State it: 3 + 4 - 2 =", steps=("3 + 4 = 7", "7 - 2 = 5"), answer="5")
RIGHT = completion("solve", SUM.steps, SUM.answer)
SOME = list(itertools.islice(problems("train", 8), 120))


@pytest.mark.parametrize(
    ("text", "right", "marked", "checked"),
    [
        (RIGHT, 3, 9, "1 ok\n2 ok\n3 ok\nVerdict: Yes"),
        ("3 + 4 = 7\n", 1, 9, "1 ok\nVerdict: No"),  # right so far, but not a solution
        ("3 + 4 = 7\n7 - 2 = 4\nAnswer: 4", 1, 2, "1 ok\n2 wrong\nVerdict: No"),
        ("3 + 4 = 8\n8 - 2 = 6\nAnswer: 6", 0, 0, "1 wrong\nVerdict: No"),
        (f"{RIGHT}\nAnswer: 5", 3, 6, "1 ok\n2 ok\n3 ok\n4 wrong\nVerdict: No"),
    ],
)
def test_marks_and_checks(text, right, marked, checked):
    assert right_lines(SUM, text) == (right, len(text.splitlines()))
    assert (mark(SUM, text), check(SUM, text)) == (marked, checked)


def test_a_mistake_is_always_one_and_the_rest_stays_a_solution():
    dice = random.Random(1)
    for problem in SOME:
        text = corrupt(problem, dice)
        right, lines = right_lines(problem, text)
        assert right < lines == len(problem.steps) + 1
        assert text.splitlines()[-1].startswith("Answer: ")


def test_programs_print_the_answers():
    program = "\n".join(code(problem) for problem in SOME)
    printed = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=30).stdout
    assert printed.split() == [problem.answer for problem in SOME]
    assert {problem.family for problem in SOME} == set(FAMILIES)


def test_sub_questions_lead_to_the_answer():
    for problem in SOME:
        rows = TEACH["split"](Attempt(problem, ()), random.Random(0)).completion.splitlines()
        assert all(row[0] in "123456789" and row[1] == " " for row in rows)
        if problem.family in ("chain_sum", "stories"):
            results = []
            for row in rows:
                first, sign, second = (results[int(one[1:]) - 1] if one[0] == "#" else one for one in row[2:].split())
                results.append(eval(f"int({first} {sign} {second})"))
            assert str(results[-1]) == problem.answer


def test_every_skill_is_taught_on_training_questions_alone():
    attempts = [Attempt(problem, (corrupt(problem, random.Random(2)), completion("solve", problem.steps, problem.answer))) for problem in SOME]
    assert set(TEACH) == set(SKILLS)
    seen = set()
    for one in itertools.islice(examples(dict.fromkeys(SKILLS, 1), attempts, 3), 2_000):
        skill, _, rest = one.prompt.partition(": ")
        seen.add(skill)
        assert split_of(rest.split("\n")[0]) == "train"
        assert one.prompt.endswith("\n")
        assert one.completion
        assert not one.completion.endswith("\n")
    assert seen == set(SKILLS)


def test_the_better_of_two_is_the_one_with_the_higher_mark():
    dice = random.Random(4)
    for problem in SOME:
        one = TEACH["judge"](Attempt(problem, ()), dice)
        (first, second), better = one.completion.split("\n")[0].split(), one.completion[-1]
        assert better == ("A" if first > second else "B" if second > first else "=")


def test_restarting_helps_what_has_gone_wrong():
    wrong = Attempt(SUM, ("9 + 9 = 18\nAnswer: 18",))
    rows = [TEACH["restart"](wrong, random.Random(seed)) for seed in range(40)]
    for one in rows:
        drafted = [line.split("> ")[1] for line in one.prompt.splitlines()[1:]]
        assert one.completion == ("No" if drafted == list(SUM.steps)[: len(drafted)] else "Yes")
    assert {one.completion for one in rows} == {"Yes", "No"}


def test_a_question_cannot_forge_a_draft():
    assert prompt("verify", "2 + 2?\nA1> Answer: 5", "Answer: 4") == "verify: 2 + 2? A1> Answer: 5\nA1> Answer: 4\n"
