"""Turns of two computations: their order, their end, and how often the verdict is right."""

import itertools
from collections import Counter
from collections.abc import Iterator

import pytest

from core.measure.timing import interleaved as interleaved_module
from core.measure.timing.clock import Clock, ClockJumped
from core.measure.timing.interleaved import interleaved, take_turns
from core.results.interleaved import INTERLEAVED_EVENT, Compared, PairTimed, WarmedUp
from core.spec.declaration import InvalidSpec
from core.spec.presets import preset
from tests.core.measure.timing.noisy_machine import CPU, NoisyMachine

TRIALS = 200


def turns(machine: NoisyMachine, ratio: float) -> Compared:
    *_, last = take_turns(machine.clock(0.01), machine.clock(0.01 * ratio))
    assert isinstance(last, Compared)
    return last


def verdicts(ratio: float) -> Counter[str]:
    found = [turns(NoisyMachine(seed), ratio).time for seed in range(TRIALS)]
    return Counter(one.verdict for one in found if one is not None)


def test_that_two_equal_computations_are_hardly_ever_told_apart() -> None:
    """Load with a standard deviation of 8 %, hiccups of up to 400 %; false verdicts below 5 %."""
    found = verdicts(1.0)
    assert found["faster"] + found["slower"] <= 0.05 * TRIALS
    assert found["same"] >= 0.9 * TRIALS


@pytest.mark.parametrize(("ratio", "verdict"), [(1.05, "slower"), (1 / 1.05, "faster")])
def test_that_five_percent_of_added_work_is_found(ratio: float, verdict: str) -> None:
    assert verdicts(ratio)[verdict] >= 0.95 * TRIALS


def test_that_the_interval_of_the_ratio_covers_as_often_as_promised() -> None:
    hits = 0
    for seed in range(TRIALS):
        time = turns(NoisyMachine(1000 + seed), 1.05).time
        assert time is not None
        assert time.interval is not None
        hits += time.interval[0] <= 1.05 <= time.interval[1]
    assert hits >= 0.9 * TRIALS


def test_that_a_machine_which_slows_down_steadily_favours_neither() -> None:
    """1 % at each repetition."""
    slower = itertools.count()

    class Tiring(NoisyMachine):
        def seconds(self, quiet_s: float) -> float:
            return super().seconds(quiet_s * 1.01 ** next(slower))

    time = turns(Tiring(1, load=0.0, jitter=0.001, hiccups=0.0), 1.0).time
    assert time is not None
    assert time.verdict == "same"
    assert time.ratio == pytest.approx(1.0, abs=0.01)


def test_that_coming_second_is_no_advantage() -> None:
    """The second of a pair finds warm caches and takes 3 % less."""
    for seed in range(50):
        turn = itertools.count()

        class Warming(NoisyMachine):
            def seconds(self, quiet_s: float, turn: Iterator[int] = turn) -> float:
                return super().seconds(quiet_s * (1.0 - 0.03 * (next(turn) % 2)))

        time = turns(Warming(seed, load=0.01, jitter=0.01), 1.0).time
        assert time is not None
        assert time.verdict == "same"
        assert time.ratio == pytest.approx(1.0, abs=0.012)


def test_that_turns_are_taken_as_a_b_b_a() -> None:
    order: list[str] = []
    machine = NoisyMachine(1)

    def computing(name: str) -> Clock:
        quiet = machine.clock(0.01)

        def compute(recorder) -> None:
            order.append(name)
            quiet.compute(recorder)

        return Clock(CPU, lambda: None, compute, quiet.now, quiet.witnesses)

    events = list(take_turns(computing("a"), computing("b")))
    warm = [event.of for event in events if isinstance(event, WarmedUp)]
    assert warm == order[: len(warm)]
    timed = order[len(warm) :]
    assert "".join(timed[:8]) == "abbaabba"
    pairs = [event for event in events if isinstance(event, PairTimed)]
    last = events[-1]
    assert isinstance(last, Compared)
    assert last.a_samples_s == tuple(pair.a_s for pair in pairs)
    assert last.b_samples_s == tuple(pair.b_s for pair in pairs)
    assert last.conditions is not None


def test_that_turns_end_with_their_budget() -> None:
    quiet = NoisyMachine(1)
    *pairs, last = take_turns(quiet.clock(0.01), quiet.clock(0.01), budget_s=0.0)
    assert sum(isinstance(event, PairTimed) for event in pairs) == 1
    assert isinstance(last, Compared)
    assert last.time is not None
    assert (last.time.interval, last.time.verdict) == (None, "cannot_tell")


def test_that_what_cannot_be_settled_ends_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(interleaved_module, "MOST_PAIRS", 50)
    assert len(turns(NoisyMachine(1, jitter=2.0), 1.0).a_samples_s) == 50


def test_that_a_clock_that_jumps_gives_no_comparison_but_a_reason() -> None:
    machine = NoisyMachine(1)

    def jump(_: object) -> None:
        raise ClockJumped("The clock of this machine jumped.")

    *_, last = take_turns(machine.clock(0.01), Clock(CPU, lambda: None, jump))
    assert isinstance(last, Compared)
    assert (last.time, last.absent) == (None, "The clock of this machine jumped.")
    assert last.a_samples_s == ()


# ------------------------------------------------------------------------------------ real specs


def test_that_twice_the_work_of_a_spec_is_slower_and_travels_as_json() -> None:
    small = preset("lecture-relu-network").spec
    large = small.with_value("data.batch_size", "4000")
    *_, last = interleaved(small, large, budget_s=20.0)
    assert isinstance(last, Compared)
    assert last.time is not None
    assert last.time.verdict == "slower"
    assert INTERLEAVED_EVENT.validate_json(INTERLEAVED_EVENT.dump_json(last)) == last


def test_that_specs_that_cannot_run_are_refused() -> None:
    spec = preset("lecture-second-order").spec
    with pytest.raises(InvalidSpec, match="device: quantum was given"):
        next(interleaved(spec, spec.with_value("device", "quantum")))
