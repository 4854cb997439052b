"""/proc and /sys as a Raspberry Pi 4, a Raspberry Pi 5 and a Jetson Orin Nano show them, drawn into a folder."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

CORE = (
    "processor\t: {index}\nBogoMIPS\t: 108.00\nFeatures\t: {features}\nCPU implementer\t: 0x41\nCPU part\t: {part}\n"
    "CPU revision\t: 3\n"
)
# What Linux shows of these cores; Cortex-A76 and A78AE have half floats and the dot product, Cortex-A72 neither.
FEATURES = {
    "0xd08": "fp asimd evtstrm crc32 cpuid",
    "0xd0b": "fp asimd evtstrm aes pmull sha1 sha2 crc32 atomics fphp asimdhp cpuid asimdrdm lrcpc dcpop asimddp",
    "0xd42": "fp asimd evtstrm aes pmull sha1 sha2 crc32 atomics fphp asimdhp cpuid asimdrdm lrcpc dcpop asimddp uscat "
    "ilrcpc flagm paca pacg",
}


def draw(root: Path, files: Mapping[str, str]) -> Path:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text + "\n")
    return root


def cpuinfo(part: str, cores: int, tail: str = "") -> str:
    features = FEATURES.get(part, "fp asimd")
    return "\n".join(CORE.format(index=index, part=part, features=features) for index in range(cores)) + tail


def policy(number: int, governor: str, now_khz: int, max_khz: int) -> dict[str, str]:
    folder = f"sys/devices/system/cpu/cpufreq/policy{number}"
    return {
        f"{folder}/scaling_governor": governor,
        f"{folder}/scaling_cur_freq": str(now_khz),
        f"{folder}/scaling_max_freq": str(max_khz),
        f"{folder}/cpuinfo_max_freq": str(max_khz),
    }


def pi_4(root: Path) -> Path:
    """Without the firmware's file in /sys: throttling is shown by vcgencmd."""
    return draw(
        root,
        {
            "proc/device-tree/model": "Raspberry Pi 4 Model B Rev 1.4\0",
            "proc/cpuinfo": cpuinfo("0xd08", 4, "\nRevision\t: c03114\nModel\t\t: Raspberry Pi 4 Model B Rev 1.4\n"),
            "proc/meminfo": "MemTotal:        3884372 kB\nMemFree:          300000 kB",
            "proc/loadavg": "0.08 0.03 0.01 1/170 1234",
            "etc/os-release": 'PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\nID=debian',
            "sys/class/thermal/thermal_zone0/type": "cpu-thermal",
            "sys/class/thermal/thermal_zone0/temp": "48686",
            "sys/class/thermal/cooling_device0/type": "cpufreq-cpu0",
            "sys/class/thermal/cooling_device0/cur_state": "0",
            **policy(0, "ondemand", 600000, 1800000),
        },
    )


def pi_5(root: Path, throttled: str = "0") -> Path:
    return draw(
        root,
        {
            "proc/device-tree/model": "Raspberry Pi 5 Model B Rev 1.0\0",
            "proc/cpuinfo": cpuinfo("0xd0b", 4),
            "proc/meminfo": "MemTotal:        8256416 kB",
            "proc/loadavg": "0.10 0.05 0.01 1/170 1234",
            "sys/class/thermal/thermal_zone0/type": "cpu-thermal",
            "sys/class/thermal/thermal_zone0/temp": "55450",
            "sys/class/thermal/cooling_device0/type": "pwm-fan",
            "sys/class/thermal/cooling_device0/cur_state": "2",
            "sys/devices/platform/soc@107c000000/soc@107c000000:firmware/get_throttled": throttled,
            **policy(0, "performance", 2400000, 2400000),
        },
    )


def orin_nano(root: Path, alert: int = 0, over_currents: int = 5) -> Path:
    return draw(
        root,
        {
            "proc/device-tree/model": "NVIDIA Jetson Orin Nano Engineering Reference Developer Kit Super\0",
            "proc/cpuinfo": cpuinfo("0xd42", 6),
            "proc/meminfo": "MemTotal:        7802044 kB",
            "proc/loadavg": "0.52 0.58 0.59 1/617 4242",
            "etc/nv_tegra_release": "# R36 (release), REVISION: 4.3, GCID: 38968081, BOARD: generic, EABI: aarch64",
            "etc/os-release": 'PRETTY_NAME="Ubuntu 22.04.5 LTS"',
            "sys/class/thermal/thermal_zone0/type": "cpu-thermal",
            "sys/class/thermal/thermal_zone0/temp": "51531",
            "sys/class/thermal/thermal_zone1/type": "gpu-thermal",
            "sys/class/thermal/thermal_zone1/temp": "52000",
            "sys/class/thermal/thermal_zone2/type": "cv0-thermal",
            "sys/class/thermal/thermal_zone2/temp": "-256000",
            "sys/class/thermal/thermal_zone3/type": "cv1-thermal",  # its temp cannot be read while the part is off
            "sys/class/thermal/cooling_device0/type": "pwm-fan",
            "sys/class/thermal/cooling_device0/cur_state": "1",
            "sys/class/thermal/cooling_device10/type": "cpu-throttle-alert",
            "sys/class/thermal/cooling_device10/cur_state": str(alert),
            "sys/class/hwmon/hwmon2/name": "soctherm_oc",
            "sys/class/hwmon/hwmon2/oc3_event_cnt": str(over_currents),
            "sys/class/devfreq/17000000.gpu/governor": "nvhost_podgov",
            "sys/class/devfreq/17000000.gpu/cur_freq": "306000000",
            "sys/class/devfreq/17000000.gpu/max_freq": "1020000000",
            **policy(0, "schedutil", 1728000, 1728000),
            **policy(4, "schedutil", 729600, 1728000),
        },
    )
