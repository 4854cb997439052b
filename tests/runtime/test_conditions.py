from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from hkd_edge_runtime.conditions import Conditions, pi_bits, read_conditions, warnings_about
from hkd_edge_runtime.sysfs import Command, run_command
from tests.runtime.boards import draw, orin_nano, pi_4, pi_5, policy


def commands(answers: Mapping[str, str]) -> Command:
    """Answers by the command line; None for every other, as where it is not installed."""
    return lambda command: answers.get(" ".join(command))


NONE = commands({})


def test_a_pi_4_tells_temperature_clock_and_throttling(tmp_path: Path) -> None:
    told = read_conditions(pi_4(tmp_path), commands({"vcgencmd get_throttled": "throttled=0x50000\n"}))
    assert told.temperatures_c == {"cpu-thermal": 48.686}
    (clock,) = told.clocks
    assert (clock.name, clock.governor) == ("policy0", "ondemand")
    assert clock.mhz == {"now": 600, "max": 1800, "hardware_max": 1800}
    assert told.slowing == {"cpufreq-cpu0": 0}
    assert told.throttled == ("under-voltage since boot", "throttled since boot")
    assert told.load == 0.08


def test_a_pi_5_tells_throttling_in_sys_and_its_fan_slows_nothing(tmp_path: Path) -> None:
    told = read_conditions(pi_5(tmp_path, throttled="8"), NONE)
    assert (told.throttled, told.slowing) == (("soft temperature limit",), {})


def test_a_jetson_tells_power_mode_alerts_events_and_its_gpu(tmp_path: Path) -> None:
    mode = commands({"nvpmodel -q": "NV Power Mode: MAXN_SUPER\n2\n"})
    told = read_conditions(orin_nano(tmp_path), mode)
    assert told.power_mode == "MAXN_SUPER"
    assert told.temperatures_c == {"cpu-thermal": 51.531, "gpu-thermal": 52.0}
    assert told.slowing == {"cpu-throttle-alert": 0}
    assert told.events == {"over-current oc3": 5}
    assert [clock.name for clock in told.clocks] == ["policy0", "policy4", "17000000.gpu"]
    assert told.clocks[-1].mhz == {"now": 306, "max": 1020}


def test_x86_throttling_is_summed_over_the_cores(tmp_path: Path) -> None:
    folder = "sys/devices/system/cpu"
    files = {f"{folder}/cpu{index}/thermal_throttle/core_throttle_count": str(index + 1) for index in range(3)}
    assert read_conditions(draw(tmp_path, files), NONE).events == {"thermal throttling of cores": 6}


def test_what_is_not_shown_is_absent(tmp_path: Path) -> None:
    assert read_conditions(tmp_path, NONE) == Conditions({}, (), {}, None, {}, None, None)


def test_texts_instead_of_numbers_are_absent(tmp_path: Path) -> None:
    zone = "sys/class/thermal/thermal_zone0"
    files = {f"{zone}/type": "odd", f"{zone}/temp": "n/a", **policy(0, "", 1, 1)}
    told = read_conditions(draw(tmp_path, files), commands({"vcgencmd get_throttled": "error=1"}))
    assert (told.temperatures_c, told.clocks[0].governor, told.throttled) == ({}, None, None)


@pytest.mark.parametrize("bit", range(20))
def test_every_bit_of_get_throttled_has_at_most_one_meaning(bit: int) -> None:
    assert len(pi_bits(1 << bit)) == (bit in (0, 1, 2, 3, 16, 17, 18, 19))


def test_a_cold_steady_board_gives_no_warning(tmp_path: Path) -> None:
    told = read_conditions(pi_5(tmp_path), NONE)
    assert warnings_about(told, told, 4) == ()


def test_a_governor_that_changes_frequencies_is_warned_of_with_the_command(tmp_path: Path) -> None:
    told = read_conditions(orin_nano(tmp_path), NONE)
    (warning,) = warnings_about(told, told, 6)
    assert warning.startswith("policy0, policy4: the governor is schedutil, not performance")
    assert "echo performance | sudo tee" in warning


def test_a_busy_machine_is_warned_of(tmp_path: Path) -> None:
    told = read_conditions(draw(pi_5(tmp_path), {"proc/loadavg": "2.5 1 1 1/2 3"}), NONE)
    assert "2.5 on 4 cores" in warnings_about(told, told, 4)[0]


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ("0", "0", None),
        ("50000", "50000", None),  # before the run, as far as can be told
        ("0", "40000", "throttled: happened"),
        ("0", "4", "throttled: happened"),
        ("1", "10000", "under-voltage: happened"),
        ("50000", "d0008", "soft temperature limit: happened"),
    ],
)
def test_throttling_of_a_pi_during_the_run_is_warned_of(
    tmp_path: Path, before: str, after: str, expected: str | None
) -> None:
    earlier = read_conditions(pi_5(tmp_path / "before", before), NONE)
    later = read_conditions(pi_5(tmp_path / "after", after), NONE)
    warnings = warnings_about(earlier, later, 4)
    assert [warning.startswith(str(expected)) for warning in warnings] == ([] if expected is None else [True])


def test_alerts_and_new_events_of_a_jetson_are_warned_of(tmp_path: Path) -> None:
    earlier = read_conditions(orin_nano(tmp_path / "before"), NONE)
    later = read_conditions(orin_nano(tmp_path / "after", alert=1, over_currents=9), NONE)
    _, alert, events = warnings_about(earlier, later, 6)
    assert alert.startswith("cpu-throttle-alert: cooling slowed the machine down (state 1)")
    assert events.startswith("over-current oc3: 4 new events")


@pytest.mark.parametrize(
    ("command", "expected"),
    [(["echo", "here"], "here\n"), (["false"], None), (["no-such-command-anywhere"], None)],
)
def test_a_command_that_is_missing_or_fails_tells_nothing(command: Sequence[str], expected: str | None) -> None:
    assert run_command(command) == expected
