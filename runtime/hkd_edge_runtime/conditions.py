"""How warm, fast and throttled the machine is at one moment, as far as it shows it, and what spoils a measurement."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from hkd_edge_runtime.sysfs import ROOT, Command, numbered, read_number, read_text, run_command

STEADY_GOVERNOR = "performance"
# Above this share of the cores, other work than the measurement keeps the machine busy.
BUSY_SHARE = 0.5

# Bits of the Raspberry Pi's get_throttled; each has a twin 16 places higher, which stays set from then on.
PI_BITS: dict[int, str] = {0: "under-voltage", 1: "frequency capped", 2: "throttled", 3: "soft temperature limit"}
PI_SINCE_BOOT = 16
_SINCE_BOOT = " since boot"

# Cooling that slows a processor down; fans, which are cooling devices too, do not.
_SLOWING = re.compile(r"(thermal-)?(cpufreq|devfreq)-.*|.*-throttle-alert|hot-surface-alert")


@dataclass(frozen=True)
class Clock:
    """Processors (`policy0`) or a GPU whose frequency is governed together.

    Attributes:
        governor: None where it is not shown; `performance` holds the highest frequency.
        mhz: by name what is shown: `now`, `max` (allowed now) and `hardware_max`.
    """

    name: str
    governor: str | None
    mhz: Mapping[str, float]


@dataclass(frozen=True)
class Conditions:
    """The machine at one moment; None or an empty mapping where it does not show it.

    Attributes:
        temperatures_c: by the name of the thermal zone.
        clocks: of the processors, and of a Jetson's GPU.
        slowing: cooling devices that slow a processor down, with their state; 0 is off.
        throttled: the bits of a Raspberry Pi that are set, in words.
        events: counters that only grow: a Jetson's over-current events, thermal throttling of x86 cores.
        power_mode: a Jetson's nvpmodel mode.
        load: how many processes wanted a processor, on average over the last minute.
    """

    temperatures_c: Mapping[str, float]
    clocks: tuple[Clock, ...]
    slowing: Mapping[str, int]
    throttled: tuple[str, ...] | None
    events: Mapping[str, int]
    power_mode: str | None
    load: float | None


def read_conditions(root: Path = ROOT, command: Command = run_command) -> Conditions:
    """How the machine below `root` is now."""
    load = read_text(root / "proc/loadavg").split()
    return Conditions(
        temperatures_c=dict(_temperatures(root)),
        clocks=(*_cpu_clocks(root), *_gpu_clocks(root)),
        slowing=dict(_slowing(root)),
        throttled=_pi_throttling(root, command),
        events=dict(_events(root)),
        power_mode=_power_mode(command),
        load=float(load[0]) if load else None,
    )


def pi_bits(value: int) -> tuple[str, ...]:
    """The bits of get_throttled in words.

    >>> pi_bits(0x50004)
    ('throttled', 'under-voltage since boot', 'throttled since boot')
    """
    now = [name for bit, name in PI_BITS.items() if value >> bit & 1]
    past = [name + _SINCE_BOOT for bit, name in PI_BITS.items() if value >> (bit + PI_SINCE_BOOT) & 1]
    return (*now, *past)


def warnings_about(before: Conditions, after: Conditions, cores: int) -> tuple[str, ...]:
    """What makes figures taken between `before` and `after` too slow or hard to repeat; one sentence each."""
    return (
        *_governor_warnings(before, after),
        *_load_warnings(before, cores),
        *_pi_warnings(before, after),
        *(
            f"{name}: cooling slowed the machine down (state {state}). Cool it, or measure again when it is cold."
            for name, state in after.slowing.items()
            if state > 0 or before.slowing.get(name, 0) > 0
        ),
        *(
            f"{name}: {count - before.events.get(name, 0)} new events during the run. Check power supply and cooling."
            for name, count in after.events.items()
            if count > before.events.get(name, 0)
        ),
    )


def _governor_warnings(before: Conditions, after: Conditions) -> Iterator[str]:
    seen = {clock.name: clock.governor for clock in before.clocks + after.clocks if clock.governor is not None}
    by_governor: dict[str, list[str]] = {}
    for name, governor in seen.items():
        # A GPU's governors have other names and no steady one.
        if name.startswith("policy") and governor != STEADY_GOVERNOR:
            by_governor.setdefault(governor, []).append(name)
    for governor, names in by_governor.items():
        yield (
            f"{', '.join(names)}: the governor is {governor}, not {STEADY_GOVERNOR}: frequencies change meanwhile. "
            f"For steady figures: echo {STEADY_GOVERNOR} | sudo tee "
            "/sys/devices/system/cpu/cpufreq/policy*/scaling_governor"
        )


def _load_warnings(before: Conditions, cores: int) -> Iterator[str]:
    if before.load is not None and before.load > BUSY_SHARE * cores:
        yield f"load: the machine was busy before the run ({before.load:g} on {cores} cores). Stop other work."


def _pi_warnings(before: Conditions, after: Conditions) -> Iterator[str]:
    earlier, later = before.throttled or (), after.throttled or ()
    now = {name for name in earlier + later if not name.endswith(_SINCE_BOOT)}
    came = {name.removesuffix(_SINCE_BOOT) for name in later if name not in earlier}
    if happened := [name for name in PI_BITS.values() if name in now | came]:
        yield f"{', '.join(happened)}: happened during the run, which slowed it down. Check power supply and cooling."


def _temperatures(root: Path) -> Iterator[tuple[str, float]]:
    for zone in numbered(root / "sys/class/thermal", "thermal_zone"):
        name, millidegrees = read_text(zone / "type"), read_number(zone / "temp")
        # A sensor of a part that is off shows an absurd value, as -256000 on Jetson.
        if name and millidegrees is not None and millidegrees > -100_000:
            yield name, millidegrees / 1000


def _cpu_clocks(root: Path) -> Iterator[Clock]:
    files = {"now": "scaling_cur_freq", "max": "scaling_max_freq", "hardware_max": "cpuinfo_max_freq"}
    for policy in numbered(root / "sys/devices/system/cpu/cpufreq", "policy"):
        yield _clock(policy, "scaling_governor", files, units_per_mhz=1e3)


def _gpu_clocks(root: Path) -> Iterator[Clock]:
    # Called 17000000.gpu or, before JetPack 6, 17000000.ga10b on Orin.
    for device in sorted((root / "sys/class/devfreq").glob("*.g*")):
        yield _clock(device, "governor", {"now": "cur_freq", "max": "max_freq"}, units_per_mhz=1e6)


def _clock(folder: Path, governor: str, files: Mapping[str, str], units_per_mhz: float) -> Clock:
    values = {name: read_number(folder / file) for name, file in files.items()}
    mhz = {name: value / units_per_mhz for name, value in values.items() if value is not None}
    return Clock(folder.name, read_text(folder / governor) or None, mhz)


def _slowing(root: Path) -> Iterator[tuple[str, int]]:
    for device in numbered(root / "sys/class/thermal", "cooling_device"):
        name, state = read_text(device / "type"), read_number(device / "cur_state")
        if state is not None and _SLOWING.fullmatch(name):
            yield name, state


def _pi_throttling(root: Path, command: Command) -> tuple[str, ...] | None:
    for path in sorted((root / "sys/devices/platform").glob("soc*/*firmware/get_throttled")):
        if re.fullmatch("(0x)?[0-9a-fA-F]+", read_text(path)):
            return pi_bits(int(read_text(path), 16))
    found = re.search("throttled=(0x[0-9a-fA-F]+)", command(["vcgencmd", "get_throttled"]) or "")
    return pi_bits(int(found.group(1), 16)) if found else None


def _events(root: Path) -> Iterator[tuple[str, int]]:
    for monitor in numbered(root / "sys/class/hwmon", "hwmon"):
        for path in sorted(monitor.glob("oc*_event_cnt")):
            if (count := read_number(path)) is not None:
                yield f"over-current {path.name.partition('_')[0]}", count
    throttled = [
        read_number(core / "thermal_throttle/core_throttle_count")
        for core in numbered(root / "sys/devices/system/cpu", "cpu")
    ]
    shown = [count for count in throttled if count is not None]
    if shown:
        yield "thermal throttling of cores", sum(shown)


def _power_mode(command: Command) -> str | None:
    found = re.search(r"^NV Power Mode:\s*(.+)$", command(["nvpmodel", "-q"]) or "", re.MULTILINE)
    return found.group(1).strip() if found else None
