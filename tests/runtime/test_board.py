from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from hkd_edge_runtime.board import cpu_flags, read_board
from tests.runtime.boards import cpuinfo, draw, orin_nano, pi_4, pi_5


@pytest.mark.parametrize(
    ("board", "model", "cpu", "cores", "memory_bytes"),
    [
        (pi_4, "Raspberry Pi 4 Model B Rev 1.4", "4 x Cortex-A72", 4, 3884372 * 1024),
        (pi_5, "Raspberry Pi 5 Model B Rev 1.0", "4 x Cortex-A76", 4, 8256416 * 1024),
        (
            orin_nano,
            "NVIDIA Jetson Orin Nano Engineering Reference Developer Kit Super",
            "6 x Cortex-A78AE",
            6,
            7802044 * 1024,
        ),
    ],
)
def test_a_board_tells_what_it_is(
    tmp_path: Path, board: object, model: str, cpu: str, cores: int, memory_bytes: int
) -> None:
    told = read_board(board(tmp_path))  # type: ignore[operator]
    assert (told.facts["model"], told.facts["cpu"]) == (model, cpu)
    assert (told.cores, told.memory_bytes) == (cores, memory_bytes)


def test_a_jetson_tells_its_system_and_board_support_package(tmp_path: Path) -> None:
    facts = read_board(orin_nano(tmp_path)).facts
    assert (facts["system"], facts["jetson_linux"]) == ("Ubuntu 22.04.5 LTS", "R36.4.3")


def test_cores_of_two_kinds_are_counted_apart(tmp_path: Path) -> None:
    text = cpuinfo("0xd05", 2) + "\n" + cpuinfo("0xd0b", 1).replace("\t: 0\n", "\t: 2\n", 1)
    assert read_board(draw(tmp_path, {"proc/cpuinfo": text})).facts["cpu"] == "2 x Cortex-A55, 1 x Cortex-A76"


def test_an_unknown_core_is_told_by_its_numbers(tmp_path: Path) -> None:
    facts = read_board(draw(tmp_path, {"proc/cpuinfo": cpuinfo("0xfff", 1)})).facts
    assert facts["cpu"] == "1 x Arm core (implementer 0x41, part 0xfff)"


def test_a_pc_tells_its_maker_and_the_name_of_its_processor(tmp_path: Path) -> None:
    files = {
        "proc/cpuinfo": "processor\t: 0\nmodel name\t: AMD EPYC\n\nprocessor\t: 1\nmodel name\t: AMD EPYC",
        "sys/class/dmi/id/sys_vendor": "QEMU",
        "sys/class/dmi/id/product_name": "Standard PC",
    }
    facts = read_board(draw(tmp_path, files)).facts
    assert (facts["model"], facts["cpu"]) == ("QEMU Standard PC", "2 x AMD EPYC")


@pytest.mark.parametrize(
    ("board", "flags"),
    [(pi_4, ("asimd",)), (pi_5, ("asimd", "asimdhp", "asimddp")), (orin_nano, ("asimd", "asimdhp", "asimddp"))],
)
def test_a_board_tells_what_its_processor_computes_with(
    tmp_path: Path, board: Callable[[Path], Path], flags: tuple[str, ...]
) -> None:
    assert cpu_flags(board(tmp_path)) == flags
    assert read_board(tmp_path).cpu_flags == flags


def test_the_flags_of_a_pc_are_told_in_one_order_and_by_whole_words(tmp_path: Path) -> None:
    draw(
        tmp_path,
        {"proc/cpuinfo": "processor\t: 0\nflags\t\t: fpu avx512_vnni avx2 avx512f fma sse4_2 avx f16c avx512dq"},
    )
    assert cpu_flags(tmp_path) == ("sse4_2", "avx", "avx2", "fma", "f16c", "avx512f", "avx512_vnni")


def test_only_flags_that_every_core_has_are_told(tmp_path: Path) -> None:
    text = cpuinfo("0xd0b", 1) + "\n" + cpuinfo("0xd08", 1).replace("\t: 0\n", "\t: 1\n", 1)
    assert cpu_flags(draw(tmp_path, {"proc/cpuinfo": text})) == ("asimd",)


def test_what_is_not_shown_is_absent(tmp_path: Path) -> None:
    told = read_board(tmp_path)
    assert not {"model", "cpu", "system", "jetson_linux"} & told.facts.keys()
    assert (told.memory_bytes, told.cpu_flags) == (None, ())
    assert 1 <= told.usable_cores <= told.cores
