"""Device profiles: each shipped one is for its devices, a user's own counts, a bad file is one clear line."""

from __future__ import annotations

from pathlib import Path

import pytest

from devbench.adb.server import DeviceEntry
from devbench.device.facts import DeviceFacts
from devbench.device.overview import advice, to_json
from devbench.device.profiles import DeviceProfile, load_profiles, match_profile, read_profile
from devbench.errors import InputError
from devbench.host.paths import data_dir, shipped


def facts(**values: object) -> DeviceFacts:
    return DeviceFacts(key="K", serial="S", **values)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("described", "name"),
    [
        (facts(manufacturer="Google", model="Pixel 6"), "pixel-6"),
        (facts(manufacturer="Google", model="Pixel 7 Pro"), "pixel-7"),
        (facts(manufacturer="Google", model="Pixel 8"), "pixel-8"),
        (facts(manufacturer="Google", model="Pixel 9 Pro XL"), "pixel-9"),
        (facts(manufacturer="samsung", model="SM-S911B"), "galaxy-s23"),
        (facts(manufacturer="samsung", model="SM-S918U"), "galaxy-s23"),
        (facts(manufacturer="Debian", device="benchphone"), "bench-phone"),
        (facts(virtual=True, props={"ro.devbench.virtual": "1"}), "virtual"),
        (facts(manufacturer="Nokia", model="3310"), "generic-phone"),
        (facts(), "generic-phone"),
    ],
)
def test_each_device_gets_its_profile(described: DeviceFacts, name: str) -> None:
    assert match_profile(described, load_profiles()).name == name


def test_a_virtual_device_never_passes_for_a_phone() -> None:
    liar = facts(manufacturer="samsung", model="SM-S911B", virtual=True)
    assert match_profile(liar, load_profiles()).name != "galaxy-s23"


def test_every_shipped_profile_is_whole_and_says_where_it_is_from() -> None:
    names = {profile.name for profile in load_profiles()}
    assert {"pixel-6", "pixel-7", "pixel-8", "pixel-9", "galaxy-s22", "galaxy-s23", "galaxy-s24"} <= names
    for profile in load_profiles():
        assert profile.title
        if profile.soc or profile.clusters:
            assert profile.sources, profile.name
    s23 = next(profile for profile in load_profiles() if profile.name == "galaxy-s23")
    assert "Snapdragon 8 Gen 2" in s23.soc
    assert sum(cluster.count for cluster in s23.clusters) == 8


def test_a_user_s_profile_replaces_and_adds() -> None:
    folder = data_dir() / "device_profiles"
    folder.mkdir()
    (folder / "galaxy-s23.toml").write_text('title = "Mine"\n[match]\nmodel = "SM-S911.*"\n')
    (folder / "rig-7.toml").write_text('title = "Rig 7"\n[match]\nkey = "ABC123"\nmodel = "SM-S911B"\n')
    assert match_profile(facts(model="SM-S911U"), load_profiles()).title == "Mine"
    special = DeviceFacts(key="ABC123", serial="s", model="SM-S911B")
    assert match_profile(special, load_profiles()).name == "rig-7", "it says most"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("title = ", "not TOML"),
        ("titel = 'x'", "titel is not a key"),
        ("virtual = 1", "virtual is not true or false"),
        ("[match]\nmodel = 3", "match.model is not a text"),
        ("[match]\nmodel = '('", "not a regular expression"),
        ("[match]\ncolour = 'red'", "match.colour is not a fact"),
        ("[[clusters]]\ncore = 'A55'", "clusters 1 has no count"),
        ("[[clusters]]\ncore = 'A55'\ncount = 0", "clusters.count is not between 1 and 256"),
        ("name = 'other'", "name is 'other'"),
        ("[masks]\nbig = 80", ":2: masks.big is not a text"),
        ("[masks]\nbig = '0'", "masks.big is '0'"),
        ("[masks]\n'big cores' = '80'", "masks.big cores"),
        ("[limits]\nthermal_status = 7", "limits.thermal_status is not"),
        ("[limits]\nbattery = 42", ":2: limits.battery is not a key of limits"),
        ("[limits]\nbattery_c = 'hot'", "limits.battery_c is not a temperature"),
        ("[limits.sensors]\n'(' = 41", "limits.sensors.( is not a regular expression"),
        ("[limits.sensors]\nskin = -1", "limits.sensors.skin is not a temperature"),
        ("sensors = ['(']", "sensors is not a regular expression"),
        ("[fails]\nnnapi = 1", ":2: fails.nnapi is not a text"),
        ("quirks = 'odd'", "quirks is not a list of texts"),
    ],
)
def test_a_bad_profile_names_file_and_key(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(text)
    with pytest.raises(InputError) as caught:
        read_profile(path)
    assert words in caught.value.what
    assert str(path) in caught.value.what


def test_a_key_that_was_meant_is_named(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text("[mask]\nbig = '80'")
    with pytest.raises(InputError) as caught:
        read_profile(tmp_path / "mine.toml")
    assert caught.value.hint == "did you mean masks?"


def test_the_documented_profile_is_one_and_says_what_a_device_cannot(tmp_path: Path) -> None:
    docs = (shipped("device_profiles").parent / "docs" / "devices.md").read_text("utf-8")
    example = next(part for part in docs.split("```toml\n")[1:] if part.startswith("title"))
    (tmp_path / "mine.toml").write_text(example.split("```")[0], "utf-8")
    profile = read_profile(tmp_path / "mine.toml")
    assert profile.masks == {"big": "100", "little": "f"}
    assert (profile.limits.thermal_status, profile.limits.battery_c) == (0, 42.0)
    assert profile.limits.sensors_c == {"skin": 41.0}
    assert profile.sensors == ("skin", "cpu", "gpu")
    assert profile.fails == {"nnapi": "crashes with …"}
    assert profile.quirks


@pytest.mark.parametrize("profile", [p for p in load_profiles() if p.masks], ids=lambda profile: profile.name)
def test_masks_of_shipped_profiles_are_the_clusters_and_nothing_else(profile: DeviceProfile) -> None:
    masks = {name: int(mask, 16) for name, mask in profile.masks.items()}
    whole = (1 << sum(cluster.count for cluster in profile.clusters)) - 1
    assert masks["little"] | masks["mid"] | masks["big"] == whole
    assert masks["fast"] == whole & ~masks["little"]
    assert masks["big"].bit_count() == profile.clusters[0].count
    assert masks["little"].bit_count() == profile.clusters[-1].count


def test_shipped_profiles_can_be_found() -> None:
    assert (shipped("device_profiles") / "generic-phone.toml").is_file()


@pytest.mark.parametrize(
    ("state", "words"),
    [
        ("device", ""),
        ("unauthorized", "USB debugging"),
        ("offline", "devbench devices connect S1"),
        ("no permissions", "udev"),
        ("bootloader", "fastboot reboot"),
        ("odd", "reconnect"),
    ],
)
def test_every_state_has_its_advice(state: str, words: str) -> None:
    assert words in advice(state, "S1")


def test_a_device_that_is_not_ready_is_listed_with_its_problem() -> None:
    from devbench.device.overview import DeviceOverview

    values = to_json(DeviceOverview(DeviceEntry("S1", "unauthorized"), problem="unauthorized", advice="unlock it"))
    assert (values["ready"], values["facts"], values["advice"]) == (False, None, "unlock it")


def test_a_draft_of_a_device_is_a_profile_that_matches_it(tmp_path: Path) -> None:
    from devbench.device.cores import Cluster, Core
    from devbench.device.profiles import draft

    odd = facts(
        manufacturer='Ev"il\\Co',
        model="X (5G)+",
        device="x5",
        soc_model="SM\u00dc1",
        cpus=(Cluster((0, 1), Core(0x41, 0xD46)),),
    )
    path = tmp_path / "mine.toml"
    path.write_text(draft(odd), "utf-8")
    profile = read_profile(path)
    assert match_profile(odd, [profile]).name == "mine"
    assert match_profile(facts(manufacturer='Ev"il\\Co', model="X (5G)"), [profile]).name == "generic-phone"
    assert [(cluster.core, cluster.count) for cluster in profile.clusters] == [("Cortex-A510", 2)]
    assert profile.masks == {}, "CPUs that are all alike need no names"


def test_a_draft_names_the_cpus_that_the_device_shows(tmp_path: Path) -> None:
    from devbench.device.cores import Cluster, Core
    from devbench.device.profiles import draft

    clusters = (
        Cluster((7,), Core(0x41, 0xD4E)),
        Cluster((3, 4, 5, 6), Core(0x41, 0xD4D)),
        Cluster((0, 1, 2), Core(0x41, 0xD46)),
    )
    path = tmp_path / "mine.toml"
    path.write_text(draft(facts(model="X", cpus=clusters)), "utf-8")
    assert read_profile(path).masks == {"big": "80", "little": "7", "fast": "f8", "mid": "78"}


def test_a_draft_is_printed_or_written_and_overwrites_nothing(tmp_path: Path, adb_server_port: int) -> None:
    import subprocess
    import sys

    def devbench(*words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "devbench.cli.app", "profiles", "new", "virtual", *words]
        return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)

    assert 'title = "Virtual device"' in devbench().stdout
    out = tmp_path / "v.toml"
    assert devbench("--out", str(out)).returncode == 0
    assert read_profile(out).virtual
    again = devbench("--out", str(out))
    assert again.returncode == 2
    assert "cannot write" in again.stderr
