import pytest

from cosmorama.pipeline.live import TimeLeft, expected_seconds, tell
from cosmorama.pipeline.presets import named_preset
from cosmorama.pipeline.progress import Reporter
from cosmorama.pipeline.watch import Nobody


class Listener(Nobody):
    def __init__(self):
        self.told = []

    def stage(self, name, fraction, detail="", seconds_left=None):
        self.told.append((name, fraction, detail, seconds_left))


@pytest.mark.parametrize("name", ["draft", "standard", "fine"])
def test_the_plan_adds_up_to_the_preset_s_time(name):
    preset = named_preset(name)
    assert sum(expected_seconds(preset).values()) == pytest.approx(preset.seconds)


def test_the_time_left_follows_the_pace():
    now = [0.0]
    left = TimeLeft({"a": 10.0, "b": 30.0}, clock=lambda: now[0])
    assert left.after("a", 0.0) == pytest.approx(40)
    now[0] = 15.0  # two and a half times as slow as planned with the prior of five seconds at pace one
    slow = left.after("a", 0.5)
    assert slow == pytest.approx((15 + 5) / (5 + 5) * 35)
    now[0] = 25.0
    assert left.after("unplanned", 0.5) == pytest.approx((25 + 5) / (5 + 5) * 35)
    now[0] = 60.0
    assert left.after("b", 1.0) == pytest.approx(0)


def test_a_watcher_hears_of_a_stage_when_it_begins_and_in_words():
    reporter, listener = Reporter(quiet=True), Listener()
    tell(reporter, listener, named_preset("draft"))
    with reporter.stage("depth"):
        name, fraction, detail, seconds = listener.told[-1]
        assert (name, fraction, detail) == ("Estimating its depth", 0.0, "")
        assert 15 < seconds < 26
    with reporter.stage("refine") as advance:
        advance(30, 60, psnr=31.25)
    assert listener.told[-1][:3] == ("Fitting splats to the views", 0.5, "30 of 60 · 31.2 dB")
