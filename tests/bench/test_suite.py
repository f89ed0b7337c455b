"""Suites: what a file asks for, and one clear line with file, line and key for each thing wrong with it."""

from __future__ import annotations

from pathlib import Path

import pytest

from devbench.analysis.accuracy import Limit
from devbench.bench.suite import RemoteModel, read_suite
from devbench.bench.suite_table import json_schema, suite_table
from devbench.declare import options_of
from devbench.errors import InputError
from devbench.host.toml_types import keys_of
from devbench.host.tomlfile import tomllib
from devbench.models.files import GivenModel
from devbench.options import RunOptions
from tests.conftest import DATA


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("b.tflite", "a.tflite", "notes.txt"):
        (tmp_path / name).write_bytes(b"x")
    return tmp_path


def suite(folder: Path, text: str) -> Path:
    path = folder / "nightly.toml"
    path.write_text(text)
    return path


def test_a_suite_becomes_the_run_s_options(folder: Path) -> None:
    found = read_suite(
        suite(
            folder,
            'models = ["*.tflite", {url = "https://x.org/c.tflite", sha256 = "' + "AB" * 32 + '"}, "demo"]\n'
            'devices = ["all"]\ndelegates = ["cpu", "gpu"]\nthreads = [1, 4]\nprecision = "2%"\nmin_secs = 0\n'
            'check_outputs = true\ntimeout = 30.5\ndelegates_file = "mine.toml"\n[labels]\nteam = "camera"\n',
        )
    )
    assert found.models == (
        GivenModel(str(folder / "a.tflite")),
        GivenModel(str(folder / "b.tflite")),
        RemoteModel("https://x.org/c.tflite", "ab" * 32),
        GivenModel("demo"),
    )
    assert found.name == "nightly"
    assert found.devices == ("all",)
    assert found.labels == {"suite": "nightly", "team": "camera"}
    assert found.options == {
        "delegate": ("cpu", "gpu"),
        "threads": "1,4",
        "precision": "2%",
        "min_secs": 0,
        "check_outputs": True,
        "timeout": 30.5,
        "delegates_file": (folder / "mine.toml").resolve(),
    }


def test_the_nightly_s_paths_are_relative_to_the_file(folder: Path) -> None:
    found = read_suite(suite(folder, "models = ['a.tflite']\n[nightly]\nperiod = '12h'\njunit = 'out/junit.xml'\n"))
    assert found.nightly == {"period": "12h", "junit": (folder / "out" / "junit.xml").resolve()}


@pytest.mark.parametrize(
    ("text", "where", "said"),
    [
        ("models = ['a.tflite']\nrepititions = 3\n", ":2:", "did you mean repetitions?"),
        ("models = ['a.tflite']\n\nthreads = 4\n", ":3:", "threads is not a list of numbers"),
        ("models = ['a.tflite']\nthreads = [0]\n", ":2:", "threads is not a list of numbers"),
        ("models = ['a.tflite']\nprofile = 'yes'\n", ":2:", "profile is not true or false"),
        ("models = ['a.tflite']\nrepetitions = -1\n", ":2:", "repetitions is not between 1 and 1000"),
        ("models = ['a.tflite']\nrepetitions = 1001\n", ":2:", "repetitions is not between 1 and 1000"),
        ("models = ['a.tflite']\ntimeout = 1e10\n", ":2:", "timeout is not between 1 and 604800"),
        ("models = ['a.tflite']\nmax_secs = 1e300\n", ":2:", "max_secs is not between 0.001 and 86400"),
        ("models = ['a.tflite']\n[conditions]\ncool_down = 1e9\n", ":3:", "conditions.cool_down is not between"),
        ("models = ['a.tflite']\n[nightly]\nkeep_raw_days = 1000000\n", ":3:", "nightly.keep_raw_days is not between"),
        ("models = ['a.tflite']\nrepetitions = true\n", ":2:", "repetitions is not a whole number"),
        ("models = ['a.tflite']\n[labels]\nx = 1\n", ":3:", "labels.x is not a text"),
        ("models = ['a.tflite']\n[labels]\nthreads = '4'\n\n[conditions]\nthreads = 4\n", ":6:", "belongs to the top"),
        (
            "models = ['a.tflite']\n[labels]\ncool_down = 'x'\n[conditions]\ncool_down = 'x'\n",
            ":5:",
            "conditions.cool_down is not",
        ),
        ("models = ['a.tflite']\n[conditions]\ncooldown = 3\n", ":3:", "did you mean cool_down?"),
        ("models = ['a.tflite']\ncool_down = 3\n[conditions]\ncool_down = 3\n", ":2:", "is also in [conditions]"),
        ("models = ['a.tflite']\n[nightly]\nbaseline_night = 3\n", ":3:", "did you mean baseline_nights?"),
        ("models = ['a.tflite']\n[nightly]\nkeep_raw_days = -3\n", ":3:", "nightly.keep_raw_days is not between"),
        ("models = ['a.tflite']\nconditions = 3\n", ":2:", "conditions is not a table"),
        ("models = ['a.tflite']\n[accuracy.float23]\nmost_abs = 1\n", ":2:", "did you mean float32?"),
        ("models = ['a.tflite']\n[accuracy]\nmost_abs = 1\n", ":3:", "accuracy.most_abs is not a type of output"),
        ("models = ['a.tflite']\n[accuracy.int8]\nmost_step = 1\n", ":3:", "did you mean most_steps?"),
        (
            "models = ['a.tflite']\n[accuracy.float16]\nmost_abs = 1\n[accuracy.float32]\nmost_abs = -1\n",
            ":5:",
            "most_abs is not",
        ),
        ("models = ['a.tflite']\n[accuracy.float32]\nleast_cosine = 2\n", ":3:", "not between -1 and 1"),
        ("models = ['a.tflite']\n[accuracy.float32]\nleast_snr_db = nan\n", ":3:", "is not a number"),
        ("models = ['a.tflite']\naccuracy.int8 = 3\n", ":2:", "accuracy.int8 is not a table"),
        (
            "models = ['a.tflite']\ncheck_outputs = false\n[accuracy.int8]\nmost_steps = 1\n",
            ":3:",
            "check_outputs = true",
        ),
        ("models = ['a.tflite']\ntags = ['a,b']\n", ":2:", "tags is not a list of words"),
        ("models = ['a.tflite']\ntags = ['a']\n[labels]\ntags = 'b'\n", ":4:", "is given together with tags"),
        (
            "models = ['a.tflite']\nreference = 'a'\n[labels]\nreference = 'b'\n",
            ":4:",
            "is given together with reference",
        ),
        ("models = ['a.tflite']\nreference = ['a']\n", ":2:", "reference is not a text"),
        ("models = [\n'a.tflite',\n'*.onnx',\n]\n", ":3:", "'*.onnx' matches no file"),
        ("models = [\n'a.tflite',\n{url = 'https://x/y', sha = 'a'}]\n", ":3:", "did you mean sha256?"),
        ("models = [{url = 'https://x/y'}]\n", ":1:", "needs both"),
        ("models = ['a.tflite']\nshapes = [8]\n", ":2:", "shapes is not a list of shapes"),
        ("models = ['a.tflite']\nshapes = [[]]\n", ":2:", "shapes is not a list of shapes"),
        ("models = ['a.tflite']\nsignatures = 'all'\n", ":2:", "signatures is not a list of texts"),
        ("models = [{name = 'a'}]\n", ":1:", "needs both url and sha256, or path"),
        ("models = [{path = 'a.tflite', url = 'https://x/y'}]\n", ":1:", "needs path alone"),
        ("models = [\n{path = '*.tflite', name = 'a'}]\n", ":2:", "applies to 2 files"),
        ("models = [{path = 'a.tflite', name = 'a · gpu'}]\n", ":1:", "characters that a name cannot have"),
        ("models = [{path = 'a.tflite', name = 3}]\n", ":1:", "name is not a text"),
        (
            "models = [\n{path = 'a.tflite', name = 'x'},\n{path = 'b.tflite', name = 'x'}]\n",
            ":3:",
            "'x' is the name of two models",
        ),
        ("note = \x27\x27\x27\nthreads = 1\x27\x27\x27\nmodels = ['a.tflite']\n", ":1:", "note is not a key"),
        ('name = """\nrepetitions = 3"""\nmodels = [\'a.tflite\']\nrepetitions = \'x\'\n', ":4:", "repetitions is not"),
        ("models = ['**a']\n", ":1:", "'**a'"),
        ("models = ['*.onnx']\n", ":1:", "'*.onnx' matches no file"),
        ("models = [3]\n", ":1:", "may contain only paths"),
        ("models = [{url = 'ftp://x', sha256 = 'a'}]\n", ":1:", "is not a URL"),
        ("models = [{url = 'https://[x', sha256 = 'a'}]\n", ":1:", "is not a URL"),
        ("models = [{url = 'https://x/y', sha256 = 'a'}]\n", ":1:", "not 64 hex digits"),
        ("models = []\n", ":1:", "models is not a list of models"),
        ("name = 'x'\n", "", "has no models"),
        ("models = [", "", "not TOML"),
    ],
)
def test_what_is_wrong_is_said_with_file_line_and_key(folder: Path, text: str, where: str, said: str) -> None:
    path = suite(folder, text)
    with pytest.raises(InputError) as caught:
        read_suite(path)
    assert said in str(caught.value)
    assert f"{path}{where}" in caught.value.what


def test_what_stands_in_tables_becomes_options_and_labels(folder: Path) -> None:
    found = read_suite(
        suite(
            folder,
            "models = ['a.tflite']\ntags = ['camera', ' night ', 'camera']\nbinary = 'b.tflite'\n[labels]\nteam = 'x'\n"
            "[conditions]\ncool_down = 0\nunreliable_retries = 1\nstabilise = ['awake']\n[inputs]\nimage = 'cat.npy'\n"
            "[accuracy.float32]\nleast_snr_db = 30\n[accuracy.int8]\nmost_steps = 2\n",
        )
    )
    assert found.labels == {"suite": "nightly", "tags": "camera,night", "team": "x"}
    thresholds = found.thresholds
    assert thresholds is not None
    assert thresholds.of("float32") == Limit(least_snr_db=30, least_cosine=0.99)
    assert (thresholds.of("int8").most_steps, thresholds.of("uint8").most_steps) == (2, 3)
    assert found.options == {
        "binary": str((folder / "b.tflite").resolve()),
        "cool_down": 0,
        "unreliable_retries": 1,
        "stabilise": ("awake",),
        "inputs": (f"image={(folder / 'cat.npy').resolve()}",),
        "check_outputs": True,
    }


def test_what_is_measured_can_be_said_in_a_suite() -> None:
    measured = [one for one in options_of(RunOptions) if "suite" not in one.beside and not one.only_pipeline]
    assert {one.name for one in measured if not one.key} == {"models", "pipeline"}
    assert {one.key for one in measured if one.key} <= set(keys_of(suite_table()))


def test_the_schema_for_editors_has_every_key() -> None:
    schema = json_schema()
    assert schema["additionalProperties"] is False
    assert {"models", "devices", "delegates", "precision", "labels"} <= set(schema["properties"])
    assert all("description" in value for value in schema["properties"].values())


@pytest.mark.parametrize(
    ("shapes", "valid"),
    [('["x=1x4", ["a=1x2", "1X3"]]', True), ("[[]]", False), ('["1x"]', False), ('["x=1,4"]', False)],
)
def test_the_schema_takes_and_refuses_shapes_as_the_reader_does(folder: Path, shapes: str, valid: bool) -> None:
    jsonschema = pytest.importorskip("jsonschema")
    path = suite(folder, f'models = ["a.tflite"]\nshapes = {shapes}\n')
    assert jsonschema.Draft202012Validator(json_schema()).is_valid(tomllib.loads(path.read_text())) is valid
    if valid:
        read_suite(path)
    else:
        with pytest.raises(InputError, match=r"nightly\.toml:2: shapes"):
            read_suite(path)


def test_a_suite_says_how_its_models_are_called(folder: Path) -> None:
    text = 'models = ["a.tflite"]\nshapes = ["1x8x8x3", ["ids=1x4", "mask=1x4"]]\nsignatures = ["all"]\n'
    found = read_suite(suite(folder, text))
    assert found.options == {"input_shape": (("1x8x8x3",), ("ids=1x4", "mask=1x4")), "signature": ("all",)}


def test_a_suite_names_its_models(folder: Path) -> None:
    text = 'models = [{path = "a.tflite", name = "encoder"}, {path = "b.tflite"}, {url = "https://x.org/c.tflite", '
    found = read_suite(suite(folder, text + f'sha256 = "{"ab" * 32}", name = "c"}}]\n'))
    assert found.models == (
        GivenModel(str(folder / "a.tflite"), "encoder"),
        GivenModel(str(folder / "b.tflite")),
        RemoteModel("https://x.org/c.tflite", "ab" * 32, "c"),
    )


def documented(folder: Path) -> Path:
    """The example of the documentation with the files that it names."""
    text = (Path(__file__).parents[2] / "docs" / "suites.md").read_text("utf-8")
    (folder / "models").mkdir()
    (folder / "models" / "one.tflite").write_bytes(b"x")
    (folder / "encoder").mkdir()
    (folder / "encoder" / "model.tflite").write_bytes(b"x")
    return suite(folder, text.split("```toml\n")[2].split("```")[0])


def test_the_documented_example_is_a_suite(folder: Path) -> None:
    found = read_suite(documented(folder))
    assert found.models[0] == GivenModel(str(folder / "models" / "one.tflite"))
    assert found.devices == ("tag:nightly",)
    assert found.labels == {"suite": "release", "tags": "camera,release", "team": "camera"}
    assert found.options["cool_down"] == 300
    assert found.thresholds is not None and found.thresholds.of("float32") == Limit(
        least_snr_db=30, least_cosine=0.99, most_abs=0.01
    )
    RunOptions(**found.options)


def test_the_documentation_names_every_key() -> None:
    text = (Path(__file__).parents[2] / "docs" / "suites.md").read_text("utf-8")
    schema = json_schema()
    tables = [schema["properties"], *(table["properties"] for table in schema["$defs"].values())]
    for key in {key for table in tables for key in table}:
        assert f"`{key}`" in text or f"`[{key}]`" in text or f"`[{key}." in text, key


@pytest.mark.parametrize(
    ("change", "valid"),
    [
        ("", True),
        ("[accuracy.float23]\nmost_abs = 1\n", False),
        ("[accuracy.uint8]\nmost_abs = 1\n", False),
        ("[accuracy.uint8]\nmost_steps = 1\n", True),
        ("[accuracy.float16]\nleast_cosine = 2\n", False),
        ("[unknown]\n", False),
    ],
)
def test_the_schema_takes_and_refuses_what_the_reader_does(folder: Path, change: str, valid: bool) -> None:
    jsonschema = pytest.importorskip("jsonschema")
    jsonschema.Draft202012Validator.check_schema(json_schema())
    path = documented(folder)
    path.write_text(path.read_text() + change)
    checker = jsonschema.Draft202012Validator(json_schema())
    assert checker.is_valid(tomllib.loads(path.read_text())) is valid
    if valid:
        read_suite(path)
    else:
        with pytest.raises(InputError):
            read_suite(path)


def test_a_model_that_is_deleted_after_its_pattern_matched_is_left_out(folder: Path) -> None:
    from devbench.models.files import open_models

    models = folder / "many"
    (models / "below").mkdir(parents=True)
    for name in ("a", "b", "below/c"):
        (models / f"{name}.tflite").write_bytes((DATA / "tiny_conv.tflite").read_bytes())
    path = folder / "suite.toml"
    path.write_text('models = ["many/**/*.tflite"]\n')
    found = [one for one in read_suite(path).models if isinstance(one, GivenModel)]
    assert [Path(one.file).stem for one in found] == ["a", "b", "c"]
    (models / "a.tflite").unlink()
    assert [model.name for model in open_models(found, folder)] == ["b", "c"]
    for name in ("b", "below/c"):
        (models / f"{name}.tflite").unlink()
    with pytest.raises(InputError, match="is gone"):
        open_models(found, folder)
    path.write_text('models = ["many/a.tflite"]\n')
    with pytest.raises(InputError, match="does not exist"):
        open_models([one for one in read_suite(path).models if isinstance(one, GivenModel)], folder)
