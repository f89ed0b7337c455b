"""Boards are told apart: one serial for two, one board over two connections, one id for two; and found by any name."""

from __future__ import annotations

from collections.abc import Mapping
from types import SimpleNamespace
from typing import cast

import pytest

from devbench.adb.device import Device
from devbench.adb.server import AdbServer, DeviceEntry, parse_device_list
from devbench.device.boards import Board, find_board, identify_boards
from devbench.device.facts import parse_facts
from devbench.errors import InputError

WORD = "1f0c2a34-90aa-4b1e-8a11-0d6f5b7c9e21"
BOOT_1, BOOT_2 = "0b7c9b1e-0000-4000-8000-000000000001", "0b7c9b1e-0000-4000-8000-000000000002"
ID_1, ID_2 = "5f2d7c1a-1111-4111-8111-111111111111", "5f2d7c1a-2222-4222-8222-222222222222"


@pytest.fixture(autouse=True)
def _devices_of_the_fake_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Device, "of", lambda server, entry, name="": server.device_of(entry))


def answer(serial: str, written: str = "", boot: str = BOOT_1, file: str = "", model: str = "Board One") -> str:
    """What a board prints to the question who it is."""
    properties = f"[ro.product.model]: [{model}]\n[ro.serialno]: [{serial}]\n[ro.build.fingerprint]: [maker/one:9/X]"
    identity = "".join(f"{key} {value}\n" for key, value in (("id", written), ("boot", boot), ("file", file)) if value)
    return f"@@devbench:{WORD}\n\n@@{WORD}:properties\n{properties}\n\n@@{WORD}:identity\n{identity}\n@@{WORD}:end\n"


class Boards:
    """A server whose devices answer by their transport ids; a board that is given a new id has `ID_2` from then on."""

    def __init__(self, answers: Mapping[int, str]) -> None:
        self.answers = dict(answers)
        self.renewed: list[int] = []

    def device_of(self, entry: DeviceEntry) -> SimpleNamespace:
        number = entry.transport_id or 0

        def shell(command: str, **_: object) -> SimpleNamespace:
            if "getprop" not in command:
                self.renewed.append(number)
                self.answers[number] = self.answers[number].replace(ID_1, ID_2)
            return SimpleNamespace(stdout=self.answers[number].encode())

        return SimpleNamespace(shell=shell)


def call(listing: str, **answers: str) -> tuple[list[Board], Boards]:
    server = Boards({int(name.removeprefix("t")): text for name, text in answers.items()})
    return identify_boards(cast(AdbServer, server), parse_device_list(listing)), server


def test_two_boards_with_one_factory_serial_are_two_devices() -> None:
    boards, server = call(
        "0123456789ABCDEF device usb:1-1 transport_id:1\n0123456789ABCDEF device usb:1-2 transport_id:2\n",
        t1=answer("0123456789ABCDEF", ID_1),
        t2=answer("0123456789ABCDEF", ID_2, BOOT_2),
    )
    keys = [board.key for board in boards]
    assert len(set(keys)) == 2
    assert all(key.startswith("0123456789ABCDEF-") for key in keys)
    assert [board.name for board in boards] == keys, "the name says which board, not which connection"
    assert [board.same_as for board in boards] == ["", ""]
    assert server.renewed == []


def test_a_board_over_usb_and_network_is_one_and_usb_comes_first() -> None:
    boards, _ = call(
        "192.168.1.5:5555 device transport_id:1\nR5CT1 device usb:1-1 transport_id:2\n",
        t1=answer("R5CT1", ID_1, file="1:77"),
        t2=answer("R5CT1", ID_1, file="1:77"),
    )
    assert [board.same_as for board in boards] == ["R5CT1", ""]
    assert boards[0].key == boards[1].key


def test_of_two_boards_seen_together_with_one_id_the_second_gets_a_new_one() -> None:
    boards, server = call(
        "A device transport_id:1\nB device transport_id:2\n",
        t1=answer("0123456789ABCDEF", ID_1),
        t2=answer("0123456789ABCDEF", ID_1, BOOT_2),
    )
    assert server.renewed == [2]
    assert boards[0].key != boards[1].key
    assert boards[1].key in boards[1].note
    assert boards[0].note == ""


def test_containers_that_share_a_kernel_are_two_boards_though_the_boot_id_is_one() -> None:
    boards, server = call(
        "A device transport_id:1\nB device transport_id:2\n",
        t1=answer("S", ID_1, file="70:5"),
        t2=answer("S", ID_1, file="71:5"),
    )
    assert server.renewed == [2]
    assert [board.same_as for board in boards] == ["", ""]


def test_without_a_writable_folder_serial_and_build_name_the_board() -> None:
    boards, server = call(
        "A device transport_id:1\nB device transport_id:2\nC device transport_id:3\n",
        t1=answer("SERIAL1"), t2=answer("SERIAL1"), t3=answer("SERIAL2"),
    )  # fmt: skip
    assert boards[0].key.startswith("SERIAL1-build")
    assert [board.same_as for board in boards] == ["", "A", ""], "one boot id, one serial and one build are one board"
    assert boards[2].key.startswith("SERIAL2-build")
    assert server.renewed == []


def test_a_build_that_changes_is_another_key_only_without_an_id() -> None:
    other = answer("S").replace("maker/one", "maker/two")
    assert parse_facts(answer("S"), "x").key != parse_facts(other, "x").key
    with_id = answer("S", ID_1).replace("maker/one", "maker/two")
    assert parse_facts(answer("S", ID_1), "usb").key == parse_facts(with_id, "10.0.0.1:5555").key


TWO = (
    "0123456789ABCDEF device transport_id:1\n0123456789ABCDEF device transport_id:2\n"
    "adb-X (2)._adb-tls-connect._tcp device transport_id:3\nR5OFF unauthorized transport_id:4\n"
)


def four() -> list[Board]:
    return call(
        TWO,
        t1=answer("0123456789ABCDEF", ID_1),
        t2=answer("0123456789ABCDEF", ID_2, BOOT_2),
        t3=answer("R5CT1234", ID_1, "0b7c9b1e-0000-4000-8000-000000000003", model="Pixel 8"),
    )[0]


def test_any_shown_name_finds_its_board() -> None:
    boards = four()
    first, second, pixel, off = boards
    assert pixel.facts is not None
    words = {
        "adb-X (2)._adb-tls-connect._tcp": pixel, "R5CT1234": pixel, "pixel": pixel, "CT12": pixel, "(2)": pixel,
        pixel.facts.title: pixel, pixel.key: pixel, first.key: first, second.key[-6:]: second,
        "0123456789ABCDEF#2": second, "R5OFF": off, "r5off": off,
    }  # fmt: skip
    for word, board in words.items():
        assert find_board(word, boards) is board, word
    assert find_board("nightly", boards, [second.key]) is second
    assert find_board("nobody", boards) is None


@pytest.mark.parametrize("word", ["0123456789ABCDEF", "board one", "0123"])
def test_a_word_that_means_several_is_an_error_that_lists_them(word: str) -> None:
    boards = four()
    with pytest.raises(InputError) as caught:
        find_board(word, boards)
    assert all(board.label in caught.value.what for board in boards[:2])
    assert boards[2].label not in caught.value.what
    assert "\n" not in str(caught.value)


def test_a_tag_of_several_is_an_error_that_says_how_to_mean_all() -> None:
    boards = four()
    with pytest.raises(InputError) as caught:
        find_board("nightly", boards, [boards[0].key, boards[2].key])
    assert "tag:nightly" in caught.value.hint
