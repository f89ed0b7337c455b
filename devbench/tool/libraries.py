"""A delegate's files, checked before they are sent: the machine, the symbols and the release of each library.

Knows no device. LiteRT's libraries do not contain the version of their release. Without a version, the C functions
that they export and import show whether two are of different releases. QNN's libraries have a version
(`AISW_VERSION`).
"""

from __future__ import annotations

import mmap
import re
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from pathlib import Path

from devbench.errors import InputError
from devbench.frozen import dataclass
from devbench.tool.case import Delegate
from devbench.tool.elf import HEXAGON, Library, read_library

CREATE = "tflite_plugin_create_delegate"
# By flag: the start of the library's name in the folder, a function that it must have, whether it is required.
_IN_FOLDERS = {
    "dispatch_library_path": ("libLiteRtDispatch", "LiteRtDispatchGetApi", True),
    "compiler_plugin_library_path": ("libLiteRtCompilerPlugin", "LiteRtCreateCompilerPlugin", False),
}
_LIBRARY = re.compile(r"\.so(?:\.\d{1,9}){0,4}$")
_VERSION = r"\d{1,3}\.\d{1,3}\.\d{1,3}(?:[.+_-]?(?:dev|rc|nightly|alpha|beta)[.\w]{0,24})?"
_IN_NAME = re.compile(rf"(?:\.so\.|-v?)({_VERSION})(?:\.so)?$")
_LITERT = re.compile(rb"(?i)litert[\w .:=/()-]{0,40}?[ :=_/v-](%s)(?!\w|\.\d)" % _VERSION.encode())
_VERSION_ALONE = re.compile(rb"(?<=\0)v?(%s)(?=\0)" % _VERSION.encode())
# A symbol with such a name is a text with the version; LiteRT's functions with such names give interface versions.
_VERSION_SYMBOL = re.compile(r"(?i)k?litert\w*version(?:_?str(?:ing)?)?")
_INTERFACE = re.compile(r"LiteRt(?:GetCompilerPlugin|GetAccelerator|SetAccelerator|DispatchGet|GetSHLO)\w*")
_QNN = re.compile(rb"AISW_VERSION: {0,2}(\d{1,3}\.\d{1,3}\.\d{1,3})")
_QNN_BUILD = re.compile(rb"(?<![\w.])v(\d{1,3}\.\d{1,3}\.\d{1,3})\.\d{6,14}(?![\d.])")
_WHEEL = re.compile(rf"^__version__ *= *[\"']({_VERSION})[\"']", re.MULTILINE)
_OF_LITERT, _OF_QNN = "libLiteRt", "libQnn"
# LiteRT's own libraries are some 10 MB, QNN's largest some 100 MB.
_MAX_SEARCHED_BYTES = 64 << 20


@dataclass(frozen=True, slots=True)
class DelegateFile:
    """A file that goes to the device with a delegate.

    Attributes:
        library: its content, `None` if it is not a library.
        product, version: those of its release, such as "QNN" and "2.44.0"; empty if unknown.
    """

    path: Path
    library: Library | None
    product: str = ""
    version: str = ""

    @property
    def name(self) -> str:
        return self.path.name


def delegate_files(delegate: Delegate) -> tuple[DelegateFile, ...]:
    """The delegate's files.

    Raises:
        InputError: one is missing, cannot be read, or has the name of a library and is not one.
    """
    found = []
    for path in map(Path, delegate.files):
        try:
            state = path.stat()
        except OSError as error:
            said = "does not exist" if isinstance(error, FileNotFoundError) else f"cannot be read: {error.strerror}"
            hint = "check the path; it is one of the delegate's files"
            raise _wrong(delegate, f"its file {path} {said}", hint) from None
        if not path.is_file():
            raise _wrong(delegate, f"its file {path} is a folder", "list the files themselves")
        found.append(_look(path, (state.st_size, state.st_ino, state.st_mtime_ns)))
    return tuple(found)


def check_delegate(delegate: Delegate) -> tuple[DelegateFile, ...]:
    """The delegate's files, if they can work together.

    Raises:
        InputError: a file is missing or not a library, lacks a required function, or is of another release.
    """
    files = delegate_files(delegate)
    names = [file.name for file in files]
    twice = next((name for name in names if names.count(name) > 1), "")
    if twice:
        raise _wrong(delegate, f"two of its files are called {twice}", "on the device they are in one folder")
    used = dict((*delegate.flags, *delegate.litert_flags))
    if not files and delegate.parameter != "library" and any("{files}" in value for value in used.values()):
        raise _wrong(delegate, "it needs files", "copy its entry into a file of your own and add them")
    _check_functions(delegate, files, used)
    _check_releases(delegate, files)
    return files


def not_for(files: Iterable[DelegateFile], abi: str) -> list[str]:
    """Why a program with that ABI cannot load the libraries; those for the DSP fit every ABI."""
    return [
        f"{file.name} is built for {file.library.abi or 'an unknown machine'}, the device runs {abi}"
        for file in files
        if file.library is not None and file.library.abi not in (abi, HEXAGON)
    ]


def asked_of_device(files: Iterable[DelegateFile]) -> dict[str, str]:
    """Libraries that must be on the device, each with the file that needs it.

    A linker looks for a file with that name: a file whose soname has the name (`libarmnn.so.33` in a file
    libarmnn.so.33.0) is not found.
    """
    files = list(files)
    here = {file.name for file in files}
    return {
        needed: file.name
        for file in files
        if file.library is not None and file.library.abi != HEXAGON
        for needed in file.library.needed
        if needed not in here and needed not in _OF_ANDROID
    }


# Android's public libraries, which every device has (the NDK's list of stable APIs).
_OF_ANDROID = frozenset({
    "libc.so", "libm.so", "libdl.so", "liblog.so", "libz.so", "libandroid.so", "libEGL.so", "libGLESv1_CM.so",
    "libGLESv2.so", "libGLESv3.so", "libvulkan.so", "libjnigraphics.so", "libmediandk.so", "libOpenSLES.so",
    "libOpenMAXAL.so", "libaaudio.so", "libamidi.so", "libbinder_ndk.so", "libcamera2ndk.so", "libicu.so",
    "libnativehelper.so", "libnativewindow.so", "libneuralnetworks.so", "libstdc++.so", "libsync.so",
})  # fmt: skip


# -- functions ------------------------------------------------------------------------------------------------------


def _check_functions(delegate: Delegate, files: tuple[DelegateFile, ...], used: Mapping[str, str]) -> None:
    path = used.get("external_delegate_path", "")
    if path.startswith("{files}/"):
        name = path.removeprefix("{files}/")
        found = next((file for file in files if file.name == name), None)
        if found is None and "{" not in name:
            raise _wrong(delegate, f"external_delegate_path names {name}, which is not one of its files", "add it")
        if found is not None:
            _need(delegate, found, CREATE, "is no external delegate")
    for flag, (start, function, must) in _IN_FOLDERS.items():
        if "{files}" not in used.get(flag, "") or not files:
            continue
        those = [file for file in files if file.name.startswith(start)]
        if must and not those:
            raise _wrong(delegate, f"none of its files is a {start}_….so", f"--{flag} looks for it")
        for file in those:
            _need(delegate, file, function, f"is no library for --{flag}")


def _need(delegate: Delegate, file: DelegateFile, function: str, what: str) -> None:
    if file.library is None or function not in file.library.exports:
        raise _wrong(delegate, f"{file.name} {what}: it has no {function}", "check that it is the right file")


# -- releases -------------------------------------------------------------------------------------------------------


def _check_releases(delegate: Delegate, files: tuple[DelegateFile, ...]) -> None:
    hint = "use files of one release"
    for product in dict.fromkeys(file.product for file in files if file.version):
        stated: dict[str, DelegateFile] = {}
        for file in files:
            if file.product == product and file.version:
                stated.setdefault(file.version, file)
        if len(stated) > 1:
            words = ", ".join(f"{file.name} is {version}" for version, file in stated.items())
            raise _wrong(delegate, f"its {product} libraries are of different releases: {words}", hint)
    runtime = next((file for file in files if file.name.startswith("libLiteRt.so")), None)
    for file in files:
        if runtime is not None and file is not runtime and file.name.startswith(_OF_LITERT):
            said = _unlike(file, runtime)
            if said:
                both = f"{_with_version(file)} and {_with_version(runtime)}"
                raise _wrong(delegate, f"{both} are of different releases: {said}", hint)


def _with_version(file: DelegateFile) -> str:
    return f"{file.name} ({file.version})" if file.version else file.name


def _unlike(file: DelegateFile, runtime: DelegateFile) -> str:
    """Why a dispatch library or compiler plug-in is not of the runtime's release; empty if there is no evidence.

    A function that the runtime looks for may be optional in the plug-in. Evidence is a function that the library
    imports and the runtime lacks, or one that it exports and the runtime does not mention.
    """
    if file.library is None or runtime.library is None:
        return ""
    asked = sorted(n for n in file.library.imports if n.startswith("LiteRt") and n not in runtime.library.exports)
    if asked:
        return f"{runtime.name} has no {asked[0]}, which {file.name} needs"
    offered = [name for name in sorted(file.library.exports) if name.startswith("LiteRt")]
    state = runtime.path.stat()
    texts = _texts(runtime.path, (state.st_size, state.st_ino, state.st_mtime_ns))
    known = [name for name in offered if name in texts or name in runtime.library.exports]
    # A runtime that mentions none of them does not load such libraries by name: no evidence.
    unknown = next((name for name in offered if known and name not in known), "")
    return f"{runtime.name} does not know {unknown}, which {file.name} offers" if unknown else ""


@lru_cache(maxsize=8)
def _texts(path: Path, _state: tuple[int, ...]) -> frozenset[str]:
    """The names of LiteRT's functions in a library's texts."""
    with _mapped(path) as data:
        return frozenset(found.decode() for found in re.findall(rb"\0(LiteRt\w{1,100})(?=\0)", data))


@lru_cache(maxsize=256)
def _look(path: Path, _state: tuple[int, ...]) -> DelegateFile:
    """The content of a file; the state (size, inode, time) is the key of the cache."""
    with path.open("rb") as file:
        is_elf = file.read(4) == b"\x7fELF"
    if not is_elf and not _LIBRARY.search(path.name):
        return DelegateFile(path, None)
    library = read_library(path)
    product, version = _stated(path, library)
    return DelegateFile(path, library, product, version)


def _stated(path: Path, library: Library) -> tuple[str, str]:
    """Product and version of a library's release; the version is empty if there is none or several."""
    product = next((p for p, start in (("LiteRT", _OF_LITERT), ("QNN", _OF_QNN)) if path.name.startswith(start)), "")
    with _mapped(path) as data:
        # A plain search comes first, because it is fast and most files do not contain the text.
        qnn = _only(_QNN, data) if data.find(b"AISW_VERSION") >= 0 else ""
        if not qnn and product == "QNN" and len(data) <= _MAX_SEARCHED_BYTES:
            qnn = _only(_QNN_BUILD, data)
        if product != "LiteRT":
            in_name = _IN_NAME.search(path.name)
            return (product or ("QNN" if qnn else ""), qnn or (in_name[1] if in_name and product else ""))
        version = _only(_LITERT, data) if len(data) <= _MAX_SEARCHED_BYTES else ""
        if not version and any(_VERSION_SYMBOL.fullmatch(n) and not _INTERFACE.match(n) for n in library.exports):
            version = _only(_VERSION_ALONE, data)
    in_name = _IN_NAME.search(path.name)
    return product, version or (in_name[1] if in_name else _wheel_version(path))


def _only(pattern: re.Pattern[bytes], data: mmap.mmap) -> str:
    found = {match.decode() for match in _some(pattern, data)}
    return found.pop() if len(found) == 1 else ""


def _some(pattern: re.Pattern[bytes], data: mmap.mmap) -> Iterator[bytes]:
    for number, match in enumerate(pattern.finditer(data)):
        if number > 1000:
            return
        yield match[1]


def _wheel_version(path: Path) -> str:
    """The version of LiteRT's Python package that contains a library."""
    for folder in list(path.resolve().parents)[:5]:
        if folder.name.startswith("ai_edge_litert"):
            try:
                found = _WHEEL.search((folder / "__init__.py").read_text("utf-8", "replace")[:10_000])
            except OSError:
                return ""
            return found[1] if found else ""
    return ""


def _mapped(path: Path) -> mmap.mmap:
    with path.open("rb") as file:
        return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)


def _wrong(delegate: Delegate, what: str, hint: str) -> InputError:
    return InputError(f"delegate {delegate.name!r}: {what}", hint=hint)
