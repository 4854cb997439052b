from __future__ import annotations

import json
from pathlib import Path

import pytest

from hkd_edge_runtime import machine
from hkd_edge_runtime.machine import cpu_facts, machine_facts

CPUINFO = """processor\t: 0
vendor_id\t: GenuineIntel
model name\t: Some CPU
cpu MHz\t\t: {mhz}
flags\t\t: fpu avx2

processor\t: 1
model name\t: Another CPU
"""
ARM = "processor\t: 0\nBogoMIPS\t: 108.00\nFeatures\t: fp asimd crc32\nCPU implementer\t: 0x41\nCPU part\t: 0xd08\n"


def write_cpuinfo(root: Path, text: str) -> None:
    (root / "proc").mkdir(exist_ok=True)
    (root / "proc/cpuinfo").write_text(text)


def test_a_processor_is_known_by_what_does_not_change_with_time(tmp_path: Path) -> None:
    write_cpuinfo(tmp_path, CPUINFO.format(mhz=1200))
    facts = cpu_facts(tmp_path)
    assert facts == "vendor_id: GenuineIntel; model name: Some CPU; flags: fpu avx2"
    write_cpuinfo(tmp_path, CPUINFO.format(mhz=3600))
    assert cpu_facts(tmp_path) == facts


def test_a_raspberry_pi_is_known_by_its_core(tmp_path: Path) -> None:
    write_cpuinfo(tmp_path, ARM)
    assert cpu_facts(tmp_path) == "Features: fp asimd crc32; CPU implementer: 0x41; CPU part: 0xd08"


def test_without_the_kernels_description_python_is_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine.platform, "processor", lambda: "arm")
    monkeypatch.setattr(machine.sys, "platform", "darwin")
    assert cpu_facts(tmp_path) == "arm"
    monkeypatch.setattr(machine.sys, "platform", "linux")
    assert cpu_facts(tmp_path) == ""


def test_a_board_and_its_processor_are_in_the_facts(tmp_path: Path) -> None:
    write_cpuinfo(tmp_path, ARM)
    (tmp_path / "proc/device-tree").mkdir()
    (tmp_path / "proc/device-tree/model").write_bytes(b"Raspberry Pi 4 Model B Rev 1.4\0")
    facts = machine_facts(tmp_path)
    assert facts["board"] == "Raspberry Pi 4 Model B Rev 1.4"
    assert facts["cpu"] == cpu_facts(tmp_path)
    assert int(facts["cpus"]) >= 1


def test_the_facts_do_not_change_from_one_call_to_the_next() -> None:
    assert json.loads(json.dumps(machine_facts())) == machine_facts()
