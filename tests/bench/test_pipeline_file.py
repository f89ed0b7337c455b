"""Pipelines: what a file asks for, and one clear line with file, line and key for each thing wrong with it."""

from __future__ import annotations

from pathlib import Path

import pytest

from devbench.bench.pipeline import read_pipeline
from devbench.errors import InputError
from devbench.options import RunOptions

EXAMPLE = Path(__file__).parents[2] / "docs" / "examples" / "mobile-sd.toml"
STAGES = """
[[stage]]
name = "text"
model = "text.tflite"
[[stage]]
name = "unet"
model = "unet.tflite"
runs = "steps"
[[stage]]
name = "decoder"
model = "decoder.tflite"
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("text_encoder", "text", "unet", "decoder", "image_decoder"):
        (tmp_path / f"{name}.tflite").write_bytes(b"x")
    return tmp_path


def write(folder: Path, text: str) -> Path:
    path = folder / "p.toml"
    path.write_text(text)
    return path


def test_the_example_is_what_its_comments_say(folder: Path) -> None:
    found = read_pipeline(write(folder, EXAMPLE.read_text()))
    assert (found.name, found.steps, found.guidance, found.overlap_steps) == ("mobile-sd", 20, False, None)
    assert found.residencies == ("resident", "sequential", "pipelined")
    assert found.runs == (1, 20, 1)
    assert found.keep == 1
    assert found.stages[1].model == str(folder / "unet.tflite")


def test_guidance_doubles_the_passes_and_options_count_for_more(folder: Path) -> None:
    found = read_pipeline(write(folder, "steps = 8\nguidance = true\n" + STAGES))
    assert found.runs == (1, 16, 1)
    assert found.keep == 1, "the repeated stage stays where none says so"
    assert found.changed(RunOptions(steps=20, guidance=False)).runs == (1, 20, 1)
    assert found.changed(RunOptions(residency=("sequential",))).residencies == ("sequential",)
    with pytest.raises(InputError, match="unknown") as error:
        found.changed(RunOptions(residency=("pipeline",)))
    assert "did you mean pipelined?" in error.value.hint


def test_a_short_file_has_the_documented_defaults(folder: Path) -> None:
    found = read_pipeline(write(folder, STAGES.replace("text.tflite", "demo")))
    assert (found.name, found.steps, found.guidance, found.images, found.overlap_steps) == ("p", 20, False, 1, None)
    assert found.stages[0].model == "demo", "the model that is part of this program"


def test_without_a_stage_to_keep_pipelined_is_left_out_or_refused(folder: Path) -> None:
    text = '[[stage]]\nname = "a"\nmodel = "unet.tflite"\n[[stage]]\nname = "b"\nmodel = "text.tflite"\n'
    found = read_pipeline(write(folder, text))
    assert found.residencies == ("resident", "sequential")
    with pytest.raises(InputError, match="stays in memory"):
        found.changed(RunOptions(residency=("pipelined",)))
    with pytest.raises(InputError, match=r"p\.toml:1: residency asks for pipelined"):
        read_pipeline(write(folder, 'residency = "pipelined"\n' + text))


def test_a_stage_may_be_the_demo_model(folder: Path) -> None:
    found = read_pipeline(write(folder, STAGES.replace('"unet.tflite"', '"demo"')))
    assert [stage.model for stage in found.stages] == [
        str(folder / "text.tflite"), "demo", str(folder / "decoder.tflite"),
    ]  # fmt: skip


@pytest.mark.parametrize("name", ["", " ", "a\\tb", "x" * 61, 7])
def test_a_name_is_a_text_of_one_to_sixty_characters(folder: Path, name: str | int) -> None:
    toml = name if isinstance(name, int) else f'"{name}"'
    with pytest.raises(InputError, match=r"stage\.name is not a text of 1 to 60"):
        read_pipeline(write(folder, STAGES.replace('"text"', str(toml))))
    assert read_pipeline(write(folder, STAGES.replace('"text"', f'"{"x" * 60}"'))).stages[0].name == "x" * 60


WRONG = [
    ("step = 20\n" + STAGES, "p.toml:1: step is not a key of a pipeline", "did you mean steps?"),
    ("steps = 0\n" + STAGES, "p.toml:1: steps is not between 1 and 10000", "how many steps"),
    ("steps = true\n" + STAGES, "steps is not a whole number", "steps"),
    ('guidance = "no"\n' + STAGES, "guidance is not true or false", "guidance"),
    ('residency = ["resident", "sequentiel"]\n' + STAGES, "'sequentiel' is unknown", "did you mean sequential?"),
    ("residency = []\n" + STAGES, "residency is not a text or a list", "resident"),
    ('overlap_steps = "some"\n' + STAGES, "overlap_steps 'some' is not a number", "auto"),
    ("keep = true\n" + STAGES, "keep is not a key of a pipeline", "belongs into a [[stage]]"),
    ("name = 'x'\n", "p.toml: has no stage", "[[stage]]"),
    ("stage = 3\n", "stage is missing", "[[stage]]"),
    (STAGES + "steps = 3\n", "p.toml:12: stage.steps is not a key of stage", "belongs to the top"),
    (STAGES + "run = 3\n", "stage.run is not a key of stage", "did you mean runs?"),
    (STAGES + 'runs = "step"\n', "'step' is not a number", "steps"),
    (STAGES + "runs = 1.5\n", "is not a whole number", "runs"),
    (STAGES + "threads = 0\n", "stage.threads is not between 1 and 256", "threads"),
    (STAGES.replace('"text.tflite"', '"texts.tflite"'), "'texts.tflite' is not a file", "looked for at"),
    (STAGES.replace('"text.tflite"', f'"{"t" * 300}"'), "is not a file", "looked for at"),
    (STAGES.replace('name = "text"', 'name = "unet"'), "'unet' is there twice", "own name"),
    (STAGES.replace('name = "text"', ""), "stage 1 has no name", "name"),
    (
        STAGES.replace('name = "text"', 'name = "a\\nb"'),
        "stage.name is not a text of 1 to 60",
        "what the stage is called",
    ),
    (STAGES.replace('name = "text"', 'name = " "'), "stage.name is not a text of 1 to 60", "what the stage is called"),
    (STAGES.replace('name = "text"', "name = 3"), "stage.name is not a text of 1 to 60", "what the stage is called"),
    (f'name = "{"n" * 61}"\n' + STAGES, "p.toml:1: name is not a text of 1 to 60", "what the pipeline is called"),
    (
        STAGES.replace('"text.tflite"', '"text.tflite"\nkeep = true') + "keep = true\n",
        "is set at a second stage",
        "one stage",
    ),
]


@pytest.mark.parametrize(("text", "what", "hint"), WRONG, ids=[what for _, what, _ in WRONG])
def test_what_is_wrong_is_named_with_its_line(folder: Path, text: str, what: str, hint: str) -> None:
    with pytest.raises(InputError) as error:
        read_pipeline(write(folder, text))
    assert what in error.value.what
    assert str(folder / "p.toml") in error.value.what
    assert hint in error.value.hint
