"""Each shipped profile is for its devices and for no other; a user's own replaces one; a bad file is one error."""

from __future__ import annotations

from pathlib import Path

import pytest

from devbench.device.facts import DeviceFacts, parse_facts
from devbench.device.profiles import GENERIC, DeviceProfile, load_profiles, match_profile, read_profile
from devbench.errors import InputError
from devbench.host.paths import data_dir, shipped
from tests.device.transcripts import BENCH_PHONE, PIXEL, SAMSUNG


def phone(manufacturer: str, model: str, soc_model: str = "", device: str = "") -> DeviceFacts:
    return DeviceFacts("K", "S", manufacturer=manufacturer, model=model, soc_model=soc_model, device=device)


DEVICES = [
    *[(phone("Google", f"Pixel 6{kind}", "Tensor"), "pixel-6") for kind in ("", " Pro", "a")],
    *[(phone("Google", f"Pixel 7{kind}", "Tensor G2"), "pixel-7") for kind in ("", " Pro", "a")],
    *[(phone("Google", f"Pixel 8{kind}", "Tensor G3"), "pixel-8") for kind in ("", " Pro", "a")],
    *[
        (phone("Google", f"Pixel 9{kind}", "Tensor G4"), "pixel-9")
        for kind in ("", " Pro", " Pro XL", " Pro Fold", "a")
    ],
    *[(phone("samsung", f"SM-S90{n}U", "SM8450"), "galaxy-s22") for n in (1, 6, 8)],
    *[(phone("samsung", f"SM-S90{n}B", "s5e9925"), "galaxy-s22-exynos") for n in (1, 6, 8)],
    *[(phone("samsung", f"SM-S91{n}B", "SM8550"), "galaxy-s23") for n in (1, 6, 8)],
    *[(phone("samsung", f"SM-S92{n}U1", "SM8650"), "galaxy-s24") for n in (1, 6, 8)],
    *[(phone("samsung", f"SM-S92{n}B", "s5e9945"), "galaxy-s24-exynos") for n in (1, 6)],
    (phone("Debian", "Bench Phone", device="benchphone"), "bench-phone"),
    (DeviceFacts("K", "S", virtual=True, props={"ro.devbench.virtual": "1"}), "virtual"),
    (DeviceFacts("K", "S", virtual=True, props={"ro.hardware": "ranchu"}), "emulator"),
    (DeviceFacts("K", "S", virtual=True, props={"ro.hardware": "goldfish"}), "emulator"),
    (phone("Google", "Pixel Fold", "Tensor G2"), "generic-phone"),
    (phone("Google", "Pixel 60"), "generic-phone"),
    (phone("Google", "Pixel 8 Ultra"), "generic-phone"),
    (phone("Evil", "Pixel 8"), "generic-phone"),
    (phone("samsung", "SM-S711B", "s5e9925"), "generic-phone"),
    (phone("samsung", "SM-S901B"), "generic-phone"),
    (phone("samsung", "SM-A546B", "s5e8835"), "generic-phone"),
    (phone("Debian", "benchphone", device="other"), "generic-phone"),
    (phone("", ""), "generic-phone"),
]
PHONES = [name for name in dict.fromkeys(name for _, name in DEVICES) if name not in {"virtual", "emulator"}]


@pytest.mark.parametrize(("facts", "name"), DEVICES)
def test_a_shipped_profile_fits_the_devices_that_it_is_for_and_no_other(facts: DeviceFacts, name: str) -> None:
    fitting = [p.name for p in load_profiles() if p.match and match_profile(facts, [p]) is p]
    assert fitting == ([] if name == "generic-phone" else [name])
    assert match_profile(facts, load_profiles()).name == name


def test_there_is_a_device_here_for_every_shipped_profile() -> None:
    assert {name for _, name in DEVICES} == {path.stem for path in shipped("device_profiles").glob("*.toml")}


@pytest.mark.parametrize(
    ("text", "name"), [(PIXEL, "pixel-8"), (SAMSUNG, "galaxy-s23"), (BENCH_PHONE, "bench-phone"), ("", "generic-phone")]
)
def test_what_a_device_prints_leads_to_its_profile(text: str, name: str) -> None:
    assert match_profile(parse_facts(text, "s"), load_profiles()).name == name


@pytest.mark.parametrize("name", [name for name in PHONES if not name.startswith(("generic", "bench"))])
def test_the_cores_of_a_shipped_phone_are_known_ones_and_make_a_whole(name: str) -> None:
    profile = next(profile for profile in load_profiles() if profile.name == name)
    assert 8 <= sum(cluster.count for cluster in profile.clusters) <= 10
    assert all(cluster.core.startswith("Cortex-") for cluster in profile.clusters)
    assert profile.soc
    assert profile.gpu


@pytest.mark.parametrize(("facts", "name"), DEVICES)
def test_a_virtual_device_never_gets_a_phone_s_profile(facts: DeviceFacts, name: str) -> None:
    claims = DeviceFacts(
        "K", "S", manufacturer=facts.manufacturer, model=facts.model, soc_model=facts.soc_model, device=facts.device,
        virtual=True, props={"ro.devbench.virtual": "1"},
    )  # fmt: skip
    assert match_profile(claims, load_profiles()).name == "virtual"
    assert match_profile(claims, [p for p in load_profiles() if not p.virtual]) is GENERIC


def test_patterns_take_the_whole_of_a_fact_and_no_notice_of_case() -> None:
    assert match_profile(phone("GOOGLE", "pixel 8 PRO"), load_profiles()).name == "pixel-8"
    assert match_profile(phone("Google", "My Pixel 8"), load_profiles()).name == "generic-phone"


def test_most_patterns_win_and_the_last_of_equals() -> None:
    facts = phone("Google", "Pixel 8")
    one, other, wide = (own_profile(name, keys) for name, keys in (("a", "model"), ("b", "model"), ("c", "")))
    assert match_profile(facts, [one, other, wide]) is other
    assert match_profile(facts, [own_profile("d", "model manufacturer"), one, other]).name == "d"
    assert match_profile(facts, [wide]) is wide
    assert match_profile(facts, []) is GENERIC


def own_profile(name: str, keys: str) -> DeviceProfile:
    folder = data_dir()
    (folder / f"{name}.toml").write_text("[match]\n" + "".join(f'{key} = ".*"\n' for key in keys.split()))
    return read_profile(folder / f"{name}.toml")


def test_a_user_s_profile_takes_the_place_of_the_shipped_one_of_its_name() -> None:
    before = load_profiles()
    folder = data_dir() / "device_profiles"
    folder.mkdir()
    path = folder / "pixel-8.toml"
    path.write_text('title = "Mine"\nnotes = ["ours"]\n[match]\nmanufacturer = "Google"\nmodel = "Pixel 8"\n')
    after = load_profiles()
    assert len(after) == len(before)
    mine = match_profile(phone("Google", "Pixel 8"), after)
    assert (mine.title, mine.origin, mine.notes) == ("Mine", path, ("ours",))
    assert match_profile(phone("Google", "Pixel 8a"), after).name == "generic-phone", (
        "nothing of the shipped one is left"
    )


def test_a_user_s_profile_wins_a_tie_with_a_shipped_one() -> None:
    folder = data_dir() / "device_profiles"
    folder.mkdir()
    (folder / "a-first-by-name.toml").write_text('[match]\nmanufacturer = "Google"\nmodel = "Pixel 8"\n')
    assert match_profile(phone("Google", "Pixel 8"), load_profiles()).name == "a-first-by-name"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (b"title = 'a'\ntitle = 'b'", "not TOML"),
        (b"\xff\xfe\x00", "not TOML"),
        (b"x = " + b"[" * 5000, "not TOML"),
        (b"#" * ((1 << 20) + 1), "larger than"),
        (b"title = 3", "title is not a text"),
        (b"soc = []", "soc is not a text"),
        (b"gpu = true", "gpu is not a text"),
        (b"notes = 'one'", "notes is not a list of texts"),
        (b"sources = [1]", "sources is not a list of texts"),
        (b"match = 'all'", "match is not a table"),
        (b"[match]\nro.product.brand = 'x'", "match.ro is not a fact"),
        (b"[match]\n'persist.sys.locale' = 'de'", "match.persist.sys.locale is not a fact"),
        (b"[match]\nmodel = '['", "match.model is not a regular expression"),
        (b"[match]\nmodel = 'a{99999999999999}'", "match.model is not a regular expression"),
        (b"clusters = 8", "clusters is not a list"),
        (b"clusters = [8]", "mine.toml:1: clusters is not a table"),
        (
            b"[[clusters]]\ncore = 'A55'\ncount = 4\n[[clusters]]\ncore = ''\ncount = 1",
            "mine.toml:5: clusters.core is not a text",
        ),
        (b"[[clusters]]\ncore = 'A55'\ncount = true", "mine.toml:3: clusters.count is not"),
        (b"[[clusters]]\ncore = 'A55'\ncount = 257", "mine.toml:3: clusters.count is not"),
        (b"[[clusters]]\ncore = 'A55'\ncount = 1\nkhz = 1", "mine.toml:4: clusters.khz is not a key of clusters"),
    ],
)
def test_a_bad_file_among_the_user_s_is_one_error_that_names_file_and_key(text: bytes, words: str) -> None:
    path = data_dir() / "device_profiles" / "mine.toml"
    path.parent.mkdir()
    path.write_bytes(text)
    with pytest.raises(InputError) as caught:
        load_profiles()
    assert str(path) in caught.value.what
    assert words in caught.value.what
    assert caught.value.hint


@pytest.mark.parametrize("text", ["title = " + "1" * 5000, "[match]\nmodel = '(?a)(?u)x'"])
def test_a_file_that_python_s_own_limits_refuse_is_one_error_too(tmp_path: Path, text: str) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(text)
    with pytest.raises(InputError):
        read_profile(path)


@pytest.mark.parametrize("name", ["Mine", "my phone", "-x", "a" * 65])
def test_a_file_whose_name_is_no_word_is_refused(tmp_path: Path, name: str) -> None:
    path = tmp_path / f"{name}.toml"
    path.write_text("")
    with pytest.raises(InputError, match="name is"):
        read_profile(path)


def test_a_file_that_is_gone_or_a_folder_is_one_error(tmp_path: Path) -> None:
    (tmp_path / "folder.toml").mkdir()
    for name in ("gone.toml", "folder.toml"):
        with pytest.raises(InputError, match=name):
            read_profile(tmp_path / name)


def test_an_empty_file_is_a_profile_for_any_device(tmp_path: Path) -> None:
    path = tmp_path / "any.toml"
    path.write_text("")
    profile = read_profile(path)
    assert (profile.name, profile.title, profile.virtual, dict(profile.match)) == ("any", "any", False, {})
