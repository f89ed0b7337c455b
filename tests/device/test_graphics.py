"""What a device says of its GPU's drivers and NNAPI devices, in AOSP's formats, and of its CPUs' clocks.

SurfaceFlinger's line, GpuService's vkjson and the services' names are as AOSP's sources print them; the values are those
of a Snapdragon 8 Gen 2 phone's drivers as their makers write them, not of a phone seen here.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from devbench.device.facts import parse_facts, to_json
from devbench.device.graphics import GRAPHICS_SCRIPT, Graphics, parse_graphics
from tests.device.transcripts import transcript

ADRENO = """GLES: Qualcomm, Adreno (TM) 740, OpenGL ES 3.2 V@0676.32 (GIT@a1b2c3, I0, 1672531200) (Date:01/01/23)
"apiVersion" : 4206746
"driverVersion" : 2150252544
"deviceName" : "Adreno (TM) 740"
neuralnetworks.IDevice/qualcomm-gpu
neuralnetworks.IDevice/qualcomm-dsp"""


def test_drivers_and_nnapi_devices_are_named() -> None:
    assert parse_graphics(ADRENO.splitlines()) == Graphics(
        gpu="Adreno (TM) 740",
        gles="OpenGL ES 3.2 V@0676.32 (GIT@a1b2c3, I0, 1672531200) (Date:01/01/23)",
        vulkan="1.3.154",
        vulkan_driver="512.676.0",
        nnapi_devices=("qualcomm-gpu", "qualcomm-dsp"),
        renderer="Adreno (TM) 740",
    )


def test_hidl_services_and_a_driver_without_gles_are_read_too() -> None:
    found = parse_graphics(['"deviceName":"Mali-G715"', "neuralnetworks@1.3::IDevice/google-edgetpu"])
    assert (found.gpu, found.gles, found.nnapi_devices) == ("Mali-G715", "", ("google-edgetpu",))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "GLES: only",
        "GLES: a",
        '"apiVersion" : 99999999999999999999',
        '"apiVersion" : "1.3"',
        "neuralnetworks.IDevice/$(reboot)",
        "neuralnetworks.IDevice/" + "x" * 65,
        "Can't find service: SurfaceFlinger",
        "\x1b[31mGLES: a, b, c",
    ],
)
def test_nonsense_is_a_missing_fact(text: str) -> None:
    assert parse_graphics(text.splitlines()) == Graphics()


@pytest.mark.parametrize(
    ("line", "gpu", "gles"),
    [
        ("ARM, Mali-G57 MC2", "Mali-G57 MC2", ""),
        ("ARM, Mali-G925-Immortalis MC12, OpenGL ES 3.2 v1.r49p1-03bet0.12ab",
         "Mali-G925-Immortalis MC12", "OpenGL ES 3.2 v1.r49p1-03bet0.12ab"),
        ("Samsung Electronics Co., Ltd., Samsung Xclipse 940, OpenGL ES 3.2 24.1.2",
         "Samsung Xclipse 940", "OpenGL ES 3.2 24.1.2"),
        ("Google Inc. (Samsung Electronics Co., Ltd.), ANGLE (Samsung Electronics Co., Ltd., Vulkan 1.3.279 (Samsung Xclipse "
         "950 (0x03000000)), Samsung Xclipse driver-2.0.0), OpenGL ES 3.2 (ANGLE 2.1.2)",
         "Samsung Xclipse 950", "OpenGL ES 3.2 (ANGLE 2.1.2)"),
        ("Samsung Electronics Co., Ltd., ANGLE (Samsung Xclipse 920) on Vulkan 1.1.179, OpenGL ES 3.2 ANGLE git hash: 1a2b",
         "Samsung Xclipse 920", "OpenGL ES 3.2 ANGLE git hash: 1a2b"),
        ("Google Inc. (Google), ANGLE (Google, Vulkan 1.3.0 (SwiftShader Device (LLVM 16.0.0) (0x0000C0DE)), "
         "SwiftShader driver-5.0.0), OpenGL ES 3.1.0 (ANGLE 2.1.0 git hash: unknown hash)",
         "SwiftShader Device (LLVM 16.0.0)", "OpenGL ES 3.1.0 (ANGLE 2.1.0 git hash: unknown hash)"),
        ("Google Inc. (NVIDIA), ANGLE (NVIDIA, Vulkan 1.3.341 (NVIDIA Virtio-GPU Venus (NVIDIA GeForce RTX 4060) "
         "(0x00002788)), venus-26.0), OpenGL ES 3.2 (ANGLE 2.1.1 git hash: 3c4d)",
         "NVIDIA Virtio-GPU Venus (NVIDIA GeForce RTX 4060)", "OpenGL ES 3.2 (ANGLE 2.1.1 git hash: 3c4d)"),
        ("Google Inc. (ARM), ANGLE (ARM, Mali-G78, OpenGL ES 3.2 v1.r32p1), OpenGL ES 3.1.0 (ANGLE 2.1.0)",
         "Mali-G78", "OpenGL ES 3.1.0 (ANGLE 2.1.0)"),
        ("Google (AMD), Android Emulator OpenGL ES Translator (OLAND (, LLVM 15.0.7, DRM 2.50)), "
         "OpenGL ES 3.1 (OpenGL ES 3.2 Mesa 23.2.1)",
         "OLAND (, LLVM 15.0.7, DRM 2.50) (Android Emulator)", "OpenGL ES 3.1 (OpenGL ES 3.2 Mesa 23.2.1)"),
        ("Imagination Technologies, PowerVR Rogue GE8320, OpenGL ES 3.2 build 1.13@5776728",
         "PowerVR Rogue GE8320", "OpenGL ES 3.2 build 1.13@5776728"),
        ("Mesa, Mali-G52 (Panfrost), OpenGL ES 3.1 Mesa 24.0.8", "Mali-G52 (Panfrost)", "OpenGL ES 3.1 Mesa 24.0.8"),
        ("Qualcomm, Adreno (TM) 418 (half, OpenGL ES 3.2 V@269.0", "Adreno (TM) 418 (half", "OpenGL ES 3.2 V@269.0"),
    ],
)  # fmt: skip
def test_commas_in_vendor_and_renderer_do_not_move_gpu_and_driver(line: str, gpu: str, gles: str) -> None:
    found = parse_graphics([f"GLES: {line}"])
    assert (found.gpu, found.gles) == (gpu, gles)


def test_a_hostile_device_fills_nothing() -> None:
    found = parse_graphics(
        [f"neuralnetworks.IDevice/n{n}" for n in range(10_000)] + ["GLES: a, " + "b" * 10**6 + ", c"]
    )
    assert len(found.nnapi_devices) == 16
    assert len(found.gpu) <= 120


def test_clocks_and_governors_belong_to_their_clusters() -> None:
    proc = "\n".join(
        f"processor\t: {n}\nCPU implementer\t: 0x41\nCPU part\t: {p}"
        for n, p in ((0, "0xd46"), (3, "0xd4d"), (7, "0xd4e"))
    )
    system = "khz 0 2016000\nkhz 3 2803200\nkhz 7 3360000\ngovernor 0 walt\nsteps 0 307200 2016000 1017600\nsteps 7 x 3360000 595200"
    facts = parse_facts(transcript(proc=proc, sys=system, graphics=ADRENO), "s")
    assert facts.cpu_steps_khz == {0: (307200, 1017600, 2016000), 7: (595200, 3360000)}
    values = to_json(facts)
    assert [(cpu["cpus"], cpu["steps_khz"], cpu["governor"]) for cpu in values["cpus"]] == [
        ([7], [595200, 3360000], None),
        ([3], [], None),
        ([0], [307200, 1017600, 2016000], "walt"),
    ]
    assert (values["gpu"], values["vulkan"]) == ("Adreno (TM) 740", "1.3.154")
    assert values["nnapi_devices"] == ["qualcomm-gpu", "qualcomm-dsp"]


def test_the_script_takes_its_lines_out_of_what_the_services_print(tmp_path: Path) -> None:
    answers = {
        "dumpsys": 'echo "  GLES: ARM, Mali-G715, OpenGL ES 3.2 v1.r38p1"; echo more',
        "cmd": 'printf \'{"devices":[{"properties":{"apiVersion" : 4206830,"driverVersion" : 159387648,"deviceName" : "Mali-G715"}}]}\'',
        "service": 'echo "7\tandroid.hardware.neuralnetworks.IDevice/google-edgetpu: [android.hardware.neuralnetworks.IDevice]"',
    }
    for name, text in answers.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{text}\n")
        (tmp_path / name).chmod(0o755)
    done = subprocess.run(
        ["sh", "-c", GRAPHICS_SCRIPT],
        env={"PATH": f"{tmp_path}:/usr/bin:/bin"},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    found = parse_graphics(done.stdout.splitlines())
    assert found == Graphics(
        "Mali-G715", "OpenGL ES 3.2 v1.r38p1", "1.3.238", "38.1.0", ("google-edgetpu",), "Mali-G715"
    )


def test_a_service_that_hangs_costs_its_own_fact_only(tmp_path: Path) -> None:
    for name, text in {"dumpsys": "sleep 60", "cmd": 'echo \'"deviceName" : "X"\''}.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{text}\n")
        (tmp_path / name).chmod(0o755)
    done = subprocess.run(
        ["sh", "-c", GRAPHICS_SCRIPT],
        env={"PATH": f"{tmp_path}:/usr/bin:/bin"},
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    assert parse_graphics(done.stdout.splitlines()).gpu == "X"
