"""The engine against naive decoding: whatever joins, leaves or is cancelled, every sequence is what it would have been alone."""

import math
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
import torch

from router.types import Finish, Halt
from tests.workers.tiny import make_model
from workers.reasoner.engine import Engine, Wish
from workers.reasoner.prompt import END, prompt
from workers.reasoner.train import MODELS

QUESTION = "Tom has 12 apples. Then Tom buys 5 more apples. Then Tom loses 4 apples. How many apples does Tom have now?"
PROMPT = prompt("solve", QUESTION)


class Waiting:
    """A submitted sequence, and its result when it is there."""

    def __init__(self, engine, text=PROMPT, prefix="", on_token=None, **options):
        self.done = threading.Event()
        self.results = []
        wish = Wish(**{"max_tokens": 40} | options)
        self.ticket = engine.submit(text, prefix, wish=wish, on_done=self._finish, on_token=on_token)

    def _finish(self, generation):
        self.results.append(generation)
        self.done.set()

    def result(self):
        assert self.done.wait(30)
        (result,) = self.results
        return result


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """As the worker serves them: models this small only wait for a second thread."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    engine = Engine(make_model(tmp_path_factory.mktemp("tiny")), slots=16)
    yield engine
    engine.close()


@pytest.fixture(scope="module")
def small():
    engine = Engine(MODELS / "small", slots=64)
    yield engine
    engine.close()


@pytest.fixture
def own(tmp_path):
    """An engine to be closed, or left waiting."""
    engine = Engine(make_model(tmp_path), slots=4)
    yield engine
    engine.close()


def naive(engine, text, count):
    """Greedy ids by a whole forward pass per token, and their log-probabilities."""
    ids, written, logprobs = engine.tokenizer.encode(text).ids, [], []
    end = engine.tokenizer.token_to_id(END)
    with torch.inference_mode():
        while len(written) < count and (not written or written[-1] != end):
            logits = engine.model.logits(engine.model(torch.tensor([ids + written]))[0, -1])
            written.append(int(logits.argmax()))
            logprobs.append(float(logits.log_softmax(-1)[written[-1]]))
    return [one for one in written if one != end], logprobs


@pytest.mark.parametrize("name", ["tiny", "small"])
def test_greedy_decoding_is_the_naive_loop(name, request):
    engine = request.getfixturevalue(name)
    for question in (QUESTION, "Calculate (3 + 4) * 2.", "How many legs are there in total if you have 3 cats, 2 ants?"):
        text = prompt("solve", question)
        ids, logprobs = naive(engine, text, 30)
        result = Waiting(engine, text, max_tokens=30).result()
        assert result.text == engine.tokenizer.decode(ids)
        assert result.tokens == len(result.logprobs) == len(logprobs)
        assert result.logprobs == pytest.approx(logprobs, abs=1e-4)
        assert result.prompt_tokens == engine.count(text) == len(engine.tokenizer.encode(text).ids)
        assert result.finish is (Finish.END if len(ids) < len(logprobs) else Finish.LENGTH)


@pytest.mark.parametrize("options", [{"temperature": 0.8}, {"temperature": 1.2, "top_p": 0.9}, {}], ids=["hot", "nucleus", "greedy"])
def test_a_sample_is_the_same_alone_and_in_a_crowd(small, options):
    hard = prompt("solve", "Find the Greatest Common Divisor (GCD) of these numbers: 371, 238.")  # so that samples differ
    alone = Waiting(small, hard, seed=5, **options).result()
    crowd = [
        Waiting(small, prompt("solve", f"Calculate {n} + {n * 7} - {n}.") * (1 + n % 3), seed=n, temperature=1.0, max_tokens=5 + n) for n in range(20)
    ]
    among = Waiting(small, hard, seed=5, **options)
    crowd += [Waiting(small, prompt("solve", f"Calculate {n}."), seed=n, temperature=1.0, max_tokens=3 + n % 7) for n in range(20)]
    assert among.result().text == alone.text
    assert among.result().logprobs == pytest.approx(alone.logprobs, abs=1e-3)
    assert all(one.result().tokens for one in crowd)


def test_different_seeds_give_different_samples_and_greedy_needs_none(tiny):
    assert len({Waiting(tiny, seed=seed, temperature=1.0).result().text for seed in range(8)}) == 8
    assert len({Waiting(tiny, seed=seed).result().text for seed in range(8)}) == 1


def test_samples_follow_the_models_distribution(tiny):
    """The first token of 3,000 samples against the model's own probabilities, at a temperature and in a nucleus."""
    ids = torch.tensor([tiny.tokenizer.encode(PROMPT).ids])
    with torch.inference_mode():
        logits = tiny.model.logits(tiny.model(ids)[0, -1])
    for options, expected in (
        ({"temperature": 0.05}, (logits / 0.05).softmax(-1)),
        ({"temperature": 0.05, "top_p": 0.6}, _nucleus((logits / 0.05).softmax(-1), 0.6)),
    ):
        drawn = [Waiting(tiny, seed=seed, max_tokens=1, **options) for seed in range(1_500)]
        log_probabilities = logits.log_softmax(-1)
        found = torch.zeros_like(logits)
        for one in drawn:
            found[int((log_probabilities - one.result().logprobs[0]).abs().argmin())] += 1 / len(drawn)
        assert float((found - expected).abs().sum()) / 2 < 0.06  # total variation
        assert float(found[expected == 0].sum()) == 0.0


def _nucleus(probabilities, share):
    kept, total = torch.zeros_like(probabilities), 0.0
    for place in probabilities.argsort(descending=True).tolist():
        if total >= share:
            break
        kept[place] = probabilities[place]
        total += float(probabilities[place])
    return kept / kept.sum()


def test_an_empty_nucleus_is_the_likeliest_token(tiny):
    assert Waiting(tiny, temperature=1.0, top_p=0.0).result().text == Waiting(tiny).result().text


def test_a_prefix_is_continued_as_if_it_had_been_written(small):
    whole = Waiting(small).result().text
    assert whole.count("\n") >= 2
    first, rest = whole.split("\n", 1)
    continued = Waiting(small, prefix=f"{first}\n").result()
    assert continued.text == rest
    assert continued.prompt_tokens == small.count(PROMPT) + small.count(f"{first}\n")


def test_a_stop_string_ends_the_text_and_stays_in_it(small):
    whole = Waiting(small).result().text
    line = Waiting(small, stop=("\n",)).result()
    assert line.finish is Finish.STOP
    assert line.text == whole[: whole.index("\n") + 1]
    several = Waiting(small, stop=("nowhere", "Answer:")).result()
    assert (several.finish, several.text) == (Finish.STOP, whole[: whole.index("Answer:") + len("Answer:")])


def test_a_stop_string_is_found_inside_a_longer_token(small):
    whole = Waiting(small).result().text
    found = Waiting(small, stop=("nsw",)).result()
    assert small.count("Answer") == 1
    assert (found.finish, found.text) == (Finish.STOP, whole[: whole.index("Answer") + len("Answer")])


def test_a_stop_string_in_the_prompt_or_prefix_stops_nothing(small):
    assert Waiting(small, prefix="12 + 5 = 17\n", stop=("17\n", "apples")).result().finish is Finish.END


@pytest.mark.parametrize("count", [1, 2, 7])
def test_the_limit_ends_a_sequence(tiny, count):
    result = Waiting(tiny, max_tokens=count).result()
    assert (result.tokens, result.finish) == (count, Finish.LENGTH)


def test_a_sequence_may_fill_the_model_to_its_last_position(tiny):
    most = tiny.model.shape.max_position_embeddings
    room = most - tiny.count(PROMPT)
    result = Waiting(tiny, max_tokens=10_000, temperature=0.0).result()
    assert (result.tokens, result.finish) == (room, Finish.LENGTH)
    full = PROMPT * 100
    ids = tiny.tokenizer.encode(full).ids[: most - 1]
    last = Waiting(tiny, tiny.tokenizer.decode(ids), max_tokens=5).result()
    assert (last.tokens, last.finish) == (1, Finish.LENGTH)


@pytest.mark.parametrize("text", ["", PROMPT * 100], ids=["empty", "too long"])
def test_what_does_not_fit_is_refused_and_the_engine_goes_on(tiny, text):
    with pytest.raises(ValueError, match="do not fit"):
        Waiting(tiny, text)
    assert Waiting(tiny, max_tokens=1).result().tokens == 1


def test_cancelling_one_of_many_stops_it_at_once_and_touches_no_other(tiny):
    texts = [prompt("solve", f"Calculate {n} + 1.") for n in range(9)]
    alone = [Waiting(tiny, text, max_tokens=60).result() for text in texts]
    noticed, victim = [], []

    def watch(count):
        noticed.append(count)
        if count == 5:
            tiny.cancel(victim[0].ticket)

    gate = Waiting(tiny, max_tokens=30)  # keeps the engine busy until all have joined
    crowd = [Waiting(tiny, text, max_tokens=60) for text in texts[:4]]
    victim.append(Waiting(tiny, texts[4], max_tokens=600, on_token=watch))
    crowd += [Waiting(tiny, text, max_tokens=60) for text in texts[5:]]
    result = victim[0].result()
    assert result.finish is Finish.CANCELLED
    assert result.tokens in (5, 6)
    assert noticed == list(range(1, result.tokens + 1))
    assert len(result.logprobs) == result.tokens
    assert [one.result() for one in crowd] == [
        replace(one, logprobs=found.result().logprobs) for one, found in zip(alone[:4] + alone[5:], crowd, strict=True)
    ]
    gate.result()


def test_one_that_waits_is_cancelled_without_having_cost_anything(own):
    running = [Waiting(own, max_tokens=300) for _ in range(4)]
    waiting = Waiting(own, max_tokens=300)
    own.cancel(waiting.ticket)
    result = waiting.result()
    assert (result.finish, result.tokens, result.text) == (Finish.CANCELLED, 0, "")
    for one in running:
        own.cancel(one.ticket)
    assert {one.result().finish for one in running} == {Finish.CANCELLED}


def test_cancelling_what_is_over_does_nothing(tiny):
    one = Waiting(tiny, max_tokens=2)
    before = one.result()
    tiny.cancel(one.ticket)
    assert Waiting(tiny, max_tokens=2).result() == before
    assert len(one.results) == 1


def test_far_more_than_there_are_slots_all_finish(tiny):
    crowd = [Waiting(tiny, prompt("solve", f"Calculate {n}."), max_tokens=1 + n % 9, seed=n, temperature=1.0) for n in range(300)]
    assert all(1 <= one.result().tokens <= 1 + n % 9 for n, one in enumerate(crowd))


def test_many_threads_may_submit_cancel_and_score(tiny):
    expected = {n: Waiting(tiny, prompt("solve", f"Calculate {n}."), max_tokens=8).result().text for n in range(6)}

    def work(n):
        for turn in range(5):
            mine = Waiting(tiny, prompt("solve", f"Calculate {n}."), max_tokens=8)
            if turn == 2:
                tiny.cancel(mine.ticket)
            elif turn == 3:
                assert len(tiny.score(PROMPT, ["1\n", "2"])) == 2
            else:
                assert mine.result().text == expected[n]
            mine.result()

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(work, range(6)))


TEXTS = ["12 + 5 = 17\n", "12 + 5 = 17\n17 - 4 = 13\nAnswer: 13", "12 + 5 = 18\n", "", "Answer: 4", "12 + 5 = 17\n"]


def test_scores_are_the_same_together_and_alone(tiny):
    together = tiny.score(PROMPT, TEXTS)
    alone = [tiny.score(PROMPT, [text])[0] for text in TEXTS]
    assert [value for value, _ in together] == pytest.approx([value for value, _ in alone], abs=1e-5)
    assert [tokens for _, tokens in together] == [tokens for _, tokens in alone]
    assert together[0] == together[5]
    assert all(0 < value < 1 for value, _ in together)
    assert tiny.score(PROMPT, []) == []


def test_a_score_is_what_the_model_says_of_good_and_bad(tiny):
    good, bad = (tiny.tokenizer.token_to_id(name) for name in ("<|good|>", "<|bad|>"))
    end = [tiny.tokenizer.token_to_id(END)]
    for text, tail in ((TEXTS[0], []), (TEXTS[1], end)):  # a finished solution is judged at its end
        ids = tiny.tokenizer.encode(PROMPT + text).ids + tail
        with torch.inference_mode():
            logits = tiny.model.logits(tiny.model(torch.tensor([ids]))[0, -1])
        assert tiny.score(PROMPT, [text]) == [(pytest.approx(float(logits[[good, bad]].softmax(0)[0]), abs=1e-5), len(ids))]


def test_a_text_too_long_is_scored_as_far_as_the_model_reads(tiny):
    ((value, tokens),) = tiny.score(PROMPT, ["1 + 1 = 2\n" * 500])
    assert 0 < value < 1
    assert tokens == tiny.model.shape.max_position_embeddings


def test_closing_ends_what_runs_and_what_waits_and_takes_nothing_more(own):
    crowd = [Waiting(own, max_tokens=500) for _ in range(9)]
    own.close()
    assert {one.result().finish for one in crowd} == {Finish.CANCELLED}
    for refused in (lambda: Waiting(own), lambda: own.score(PROMPT, ["1\n"])):
        with pytest.raises(RuntimeError, match="closed"):
            refused()
    own.close()


def test_a_score_under_way_is_told_that_the_engine_closed(own):
    started, go = threading.Event(), threading.Event()

    def hold(count):
        started.set()
        go.wait(10)

    Waiting(own, on_token=hold)
    assert started.wait(10)
    with ThreadPoolExecutor(2) as pool:
        scoring = pool.submit(own.score, PROMPT, ["1\n"])
        while not own._reading:
            threading.Event().wait(0.001)
        closing = pool.submit(own.close)
        while not own._closed:
            threading.Event().wait(0.001)
        go.set()
        closing.result(10)
        with pytest.raises(RuntimeError, match="closed while reading"):
            scoring.result(10)


# --- what a sequence tells of itself, and what it may not write --------------------------------------------------------


def test_top_logprobs_are_the_models_own_and_highest_first(tiny):
    result = Waiting(tiny, max_tokens=6, temperature=1.0, seed=3, top_logprobs=5, pieces=True).result()
    assert len(result.top_logprobs) == len(result.pieces) == len(result.drawn_logprobs) == result.tokens
    assert all(list(row) == sorted(row, reverse=True) and len(row) == 5 for row in result.top_logprobs)
    greedy = Waiting(tiny, max_tokens=6, temperature=0.0, top_logprobs=1).result()
    assert [row[0] for row in greedy.top_logprobs] == pytest.approx(list(greedy.logprobs))
    everything = Waiting(tiny, max_tokens=2, top_logprobs=10_000).result()
    assert sum(math.exp(value) for value in everything.top_logprobs[0]) == pytest.approx(1, abs=1e-4)


def test_pieces_spell_the_text_and_at_temperature_1_are_drawn_from_the_model(tiny):
    result = Waiting(tiny, max_tokens=12, temperature=1.0, seed=5, pieces=True).result()
    assert "".join(result.pieces) == result.text
    assert result.drawn_logprobs == pytest.approx(result.logprobs, abs=1e-4)
    hot = Waiting(tiny, max_tokens=12, temperature=2.0, seed=5, pieces=True).result()
    assert hot.drawn_logprobs != pytest.approx(hot.logprobs, abs=1e-2)


def test_what_was_not_asked_for_is_not_told(tiny):
    result = Waiting(tiny).result()
    assert (result.top_logprobs, result.pieces, result.drawn_logprobs) == ((), (), ())


def test_a_suppressed_word_is_not_written(small):
    plain = Waiting(small, temperature=0.0, max_tokens=120).result()
    assert "Answer" in plain.text
    without = Waiting(small, temperature=0.0, max_tokens=120, suppress=("answer",)).result()
    assert "answer" not in without.text.lower()


def test_halting_follows_the_sliding_mean_of_confidence(tiny):
    whole = Waiting(tiny, max_tokens=30, temperature=1.0, seed=9, top_logprobs=4).result()
    confidence = [-sum(row) / len(row) for row in whole.top_logprobs]
    means = [sum(confidence[end - 3 : end]) / 3 for end in range(3, len(confidence) + 1)]
    below = sorted(means)[2] + 1e-6
    first = next(place for place, mean in enumerate(means) if mean < below)
    halted = Waiting(tiny, max_tokens=30, temperature=1.0, seed=9, top_logprobs=4, halt=Halt(window=3, below=below)).result()
    assert (halted.finish, halted.tokens) == (Finish.HALTED, first + 3)
    never = Waiting(tiny, max_tokens=30, temperature=1.0, seed=9, top_logprobs=4, halt=Halt(window=3, below=-1.0)).result()
    assert never.text == whole.text


def test_a_hidden_state_is_that_of_the_last_token(tiny):
    state, tokens = tiny.hidden(PROMPT, "12 + 5")
    ids = tiny.tokenizer.encode(PROMPT).ids + tiny.tokenizer.encode("12 + 5").ids
    with torch.inference_mode():
        expected = tiny.model(torch.tensor([ids]))[0, -1].tolist()
    assert (state, tokens) == (pytest.approx(expected, abs=1e-5), len(ids))
