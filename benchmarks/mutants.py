"""Whether a package's own tests notice small wrong edits: seeded mutants, each run against the tests that reach it.

    pip install -e '.[test,dev]'
    python benchmarks/mutants.py parser [--mutants 400] [--seed 1] [--jobs 2] [--out FILE] [--again FILE]

The edits are those of Cosmic Ray's operators, and statements that are left out. One edit is drawn per place. Left out
are edits of annotations, decorators and imports for type checkers, which no test can notice. Each mutant runs in a fork
with a deadline, fastest tests first, until one fails: a fork of a process that has imported the tests, in which the
function's code is replaced, or, if the edit changes what an import does, a fork that imports everything again.
Programs that a test starts see the original. Survivors are printed with their place and their edit, then the share of
mutants that were killed.
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import functools
import gc
import importlib
import importlib.util
import inspect
import itertools
import json
import os
import random
import re
import resource
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from importlib.machinery import ModuleSpec, SourceFileLoader
from pathlib import Path
from types import FrameType, ModuleType
from typing import Any

ROOT = Path(__file__).parents[1]
_PURE_OF_BENCH = ("command", "conv_probe", "pipeline", "plan", "records", "refusals", "script", "suite")
# By name: the files that are changed, and the tests that have to notice.
SUITES: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "parser": (
        ("devbench/tool/parse/*.py",),
        (
            "tests/tool/test_parse*.py",
            "tests/tool/test_pipeline_log.py",
            "tests/tool/test_apk.py",
            "tests/tool/test_failures.py",
        ),
    ),
    "analysis": (("devbench/analysis/*.py",), ("tests/analysis",)),
    # The modules that start no process and own no device.
    "bench": (
        tuple(f"devbench/bench/{name}.py" for name in _PURE_OF_BENCH),
        ("tests/bench",),
    ),
    "findings": (("devbench/findings/*.py",), ("tests/findings", "tests/golden")),
}
_COMPARISONS = ("Eq_NotEq", "NotEq_Eq", "Lt_LtE", "Lt_GtE", "LtE_Lt", "LtE_Gt", "Gt_GtE", "Gt_LtE", "GtE_Gt", "GtE_Lt")
_BINARY = (
    "Add_Sub",
    "Sub_Add",
    "Mul_Div",
    "Div_Mul",
    "FloorDiv_Mul",
    "Mod_Mul",
    "Pow_Mul",
    "BitOr_BitAnd",
    "BitAnd_BitOr",
)
_OPERATORS = (
    *(f"ReplaceComparisonOperator_{pair}" for pair in (*_COMPARISONS, "Is_IsNot", "IsNot_Is")),
    *(f"ReplaceBinaryOperator_{pair}" for pair in (*_BINARY, "LShift_RShift", "RShift_LShift")),
    *(f"ReplaceUnaryOperator_{pair}" for pair in ("USub_UAdd", "Delete_Not")),
    *("AddNot", "ReplaceTrueWithFalse", "ReplaceFalseWithTrue", "ReplaceAndWithOr", "ReplaceOrWithAnd"),
    *("ReplaceBreakWithContinue", "ReplaceContinueWithBreak", "ExceptionReplacer", "NumberReplacer"),
    "ZeroIterationForLoop",
)
_MEMORY_BYTES = 6 << 30
# Longer tests are left out: each mutant that survives costs the time of all tests that reach it.
_LONGEST_TEST_S = 1.0
_NOT_REPLACED = 71
# Standard error of the program, which its forks do not have.
_SCREEN = os.dup(2)
# 70 is an error of this program, not of a test.
_OUTCOMES = {0: "survived", 70: "again", _NOT_REPLACED: "again"}
_REMOVABLE = (ast.Assign, ast.AugAssign, ast.Expr, ast.Return, ast.Raise)


@dataclass(frozen=True, slots=True)
class Mutant:
    """One edit: the text of a place in a file and what replaces it; lines are those of the statement around it."""

    file: str
    kind: str
    start: tuple[int, int]
    stop: tuple[int, int]
    old: str
    new: str
    lines: tuple[int, int]
    in_function: bool


@dataclass(slots=True)
class Reached:
    """What a run of the unchanged tests showed: by test its seconds and its lines; modules that were imported.

    The lines of functions that run while modules are imported are those of the test "".
    """

    seconds: dict[str, float] = field(default_factory=dict)
    lines: dict[str, list[tuple[str, int]]] = field(default_factory=dict)
    modules: list[str] = field(default_factory=list)


# -- mutants --------------------------------------------------------------------------------------------------------

# Kind, start and end of what is replaced, and the new text; the text is made only for those that are drawn.
_Site = tuple[str, tuple[int, int], tuple[int, int], Callable[[], str]]


def drawn(paths: Sequence[Path], count: int, seed: int) -> list[Mutant]:
    """At most `count` mutants, one for each place, in the order of the files."""
    random_one = random.Random(seed)
    places: dict[tuple[Path, tuple[int, int], tuple[int, int]], list[_Site]] = {}
    trees = {}
    for path in paths:
        text = path.read_text("utf-8")
        trees[path] = ast.parse(text)
        skipped = [span for node in ast.walk(trees[path]) for span in _skipped(node)]
        for site in (*_by_operators(text), *_without_statements(text, trees[path])):
            if not any(begin <= site[1][0] <= end for begin, end in skipped):
                places.setdefault((path, site[1], site[2]), []).append(site)
    found: list[Mutant] = []
    for place in random_one.sample(sorted(places), len(places)):
        mutant = _made(place[0], trees[place[0]], random_one.choice(places[place]))
        if mutant is not None:
            found.append(mutant)
        if len(found) == count:
            break
    return sorted(found, key=lambda mutant: (mutant.file, mutant.start))


def _made(path: Path, tree: ast.AST, site: _Site) -> Mutant | None:
    """The mutant, unless its file does what it did or cannot be read."""
    kind, start, stop, new = site
    text = path.read_text("utf-8")
    if re.match(r"\*\s*,", text[_offset(text, start) :]):
        return None  # the star of a parameter list is no multiplication
    lines, in_function = _around(tree, start)
    mutant = Mutant(
        str(path.relative_to(ROOT)), kind, start, stop, _between(text, start, stop), new(), lines, in_function
    )
    try:
        changed = ast.dump(_bare(ast.parse(edited(text, mutant))))
    except SyntaxError:
        return None
    return mutant if changed != ast.dump(_bare(ast.parse(text))) else None


def _by_operators(text: str) -> Iterator[_Site]:
    from cosmic_ray.ast import ast_nodes, get_ast
    from cosmic_ray.plugins import get_operator

    tree = get_ast(text)

    def changed(name: str, number: int, index: int) -> str:
        # An operator may change the tree that it is given.
        node = next(itertools.islice(ast_nodes(get_ast(text)), number, None))
        try:
            return str(get_operator(f"core/{name}")().mutate(node, index).get_code(include_prefix=False))
        except AttributeError:  # Cosmic Ray cannot replace an exception with a dotted name
            return str(node.get_code(include_prefix=False))

    for name in _OPERATORS:
        operator = get_operator(f"core/{name}")()
        for number, node in enumerate(ast_nodes(tree)):
            for index, _ in enumerate(operator.mutation_positions(node)):
                yield name, node.start_pos, node.end_pos, functools.partial(changed, name, number, index)


def _without_statements(text: str, tree: ast.AST) -> Iterator[_Site]:
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    for node in {id(one): one for function in functions for one in ast.walk(function)}.values():
        is_text = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        if isinstance(node, _REMOVABLE) and not is_text:
            last = node.end_lineno or node.lineno
            # `ast` counts bytes, Cosmic Ray characters.
            column = len(text.splitlines()[last - 1].encode()[: node.end_col_offset].decode())
            stop = (last, column)
            yield "RemoveStatement", (node.lineno, node.col_offset), stop, lambda: "pass"


def _skipped(node: ast.AST) -> Iterator[tuple[int, int]]:
    """Lines whose edits no test can notice: decorators and what only type checkers import."""
    for decorator in getattr(node, "decorator_list", ()):
        yield decorator.lineno, decorator.end_lineno
    if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
        yield node.lineno, node.end_lineno or node.lineno


def _bare(tree: ast.AST) -> ast.AST:
    """A tree without annotations."""
    for node in ast.walk(tree):
        for name in ("annotation", "returns"):
            if getattr(node, name, None) is not None:
                setattr(node, name, ast.Constant(None))
    return tree


def _around(tree: ast.AST, place: tuple[int, int]) -> tuple[tuple[int, int], bool]:
    """First and last line of the innermost statement around a place, or of its head; whether it is in a function."""
    best, in_function = (place[0], place[0]), False
    for node in ast.walk(tree):
        if isinstance(node, ast.stmt) and (node.lineno, node.col_offset) <= place:
            end = (node.end_lineno or node.lineno, node.end_col_offset or 0)
            if place < end:
                body = getattr(node, "body", None)
                last = max(node.lineno, body[0].lineno - 1) if isinstance(body, list) else end[0]
                best = (node.lineno, max(last, place[0]))
                if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                    # Defaults of parameters are evaluated when the function is made.
                    in_function = in_function or (node.body[0].lineno, node.body[0].col_offset) <= place
    return best, in_function


def _offset(text: str, place: tuple[int, int]) -> int:
    return sum(len(line) for line in text.splitlines(keepends=True)[: place[0] - 1]) + place[1]


def _between(text: str, start: tuple[int, int], stop: tuple[int, int]) -> str:
    return text[_offset(text, start) : _offset(text, stop)]


def edited(text: str, mutant: Mutant) -> str:
    """A file's text with the mutant in it."""
    return text[: _offset(text, mutant.start)] + mutant.new + text[_offset(text, mutant.stop) :]


# -- tests ----------------------------------------------------------------------------------------------------------


class _Recorder:
    """A plugin of pytest: which lines of the files each test reaches, and how much CPU time it takes.

    Args:
        files: relative to the repository; empty for times only.
        short: the tests to run; empty for all.
    """

    def __init__(self, files: Sequence[str], short: Sequence[str]) -> None:
        self.reached = Reached()
        self._short = set(short)
        self._began = 0.0
        self._files = {str(ROOT / file): file for file in files}
        self._lines: set[tuple[str, int]] = set()

    def _call(self, frame: FrameType, event: str, value: Any) -> Callable[..., Any] | None:
        name = self._files.get(frame.f_code.co_filename)
        # What stands in a module or a class runs once, at the import.
        if name is None or not frame.f_code.co_flags & inspect.CO_OPTIMIZED:
            return None
        lines = self._lines

        def each(inner: FrameType, event: str, value: Any) -> Callable[..., Any]:
            lines.add((name, inner.f_lineno))
            return each

        return each(frame, event, value)

    def pytest_sessionstart(self) -> None:
        self._watch()

    def pytest_collection_modifyitems(self, items: list[Any]) -> None:
        if self._short:
            items[:] = [item for item in items if item.nodeid in self._short]

    def _watch(self) -> None:
        if self._files:
            sys.settrace(self._call)

    def pytest_runtestloop(self) -> None:
        sys.settrace(None)
        self.reached.lines[""] = sorted(self._lines)

    def _forget(self) -> None:
        """Clear what the files' functions remember: else only the first test that needs a value reaches their lines."""
        for one in gc.get_objects():
            if isinstance(one, functools._lru_cache_wrapper):
                code = getattr(one.__wrapped__, "__code__", None)
                if code is not None and code.co_filename in self._files:
                    one.cache_clear()

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        if self._files:
            self._forget()
        self._lines = set()
        self._began = time.process_time()
        self._watch()

    def pytest_runtest_logfinish(self, nodeid: str) -> None:
        sys.settrace(None)
        self.reached.lines[nodeid] = sorted(self._lines)
        self.reached.seconds[nodeid] = time.process_time() - self._began


class _Chosen:
    """A plugin of pytest: only the tests that reach a mutant, fastest first."""

    def __init__(self, tests: Sequence[str]) -> None:
        self._order = {test: number for number, test in enumerate(tests)}

    def pytest_collection_modifyitems(self, items: list[Any]) -> None:
        items[:] = sorted((i for i in items if i.nodeid in self._order), key=lambda item: self._order[item.nodeid])


def _module(mutant: Mutant) -> str:
    return mutant.file.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


class _Loader(SourceFileLoader):
    """Loads a mutant in place of its file."""

    def __init__(self, name: str, path: str, text: str) -> None:
        super().__init__(name, path)
        self._text = text

    def get_code(self, fullname: str) -> Any:
        return compile(self._text, self.path, "exec", dont_inherit=True)


class _Finder:
    def __init__(self, mutant: Mutant) -> None:
        self._path = str(ROOT / mutant.file)
        self._name = _module(mutant)
        self._loader = _Loader(self._name, self._path, edited(Path(self._path).read_text("utf-8"), mutant))

    def find_spec(self, name: str, path: object = None, target: ModuleType | None = None) -> ModuleSpec | None:
        return (
            importlib.util.spec_from_file_location(name, self._path, loader=self._loader)
            if name == self._name
            else None
        )


class _Server:
    """A plugin of pytest: in place of running the tests it forks for each mutant, with everything imported."""

    def __init__(self, mutants: Mapping[int, Mutant], reached: Reached, jobs: int, found: Path) -> None:
        self._mutants, self._reached, self._jobs, self._found = mutants, reached, jobs, found

    def pytest_runtestloop(self, session: Any) -> bool:
        items = {item.nodeid: item for item in session.items}

        def attempt(mutant: Mutant, tests: Sequence[str]) -> int:
            if not _replace_code(mutant):
                return _NOT_REPLACED
            # Pytest empties the folder when it is first used, which another mutant may be using.
            folders = session.config._tmp_path_factory
            folders._given_basetemp = folders._given_basetemp.with_name(f"base-{os.getpid()}")
            chosen = [items[test] for test in tests]
            for item, following in itertools.zip_longest(chosen, chosen[1:]):
                session.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
                if session.testsfailed:
                    return 1
            return 0

        self._found.write_text(json.dumps(run(self._mutants, self._reached, self._jobs, attempt)), "utf-8")
        return True


def _replace_code(mutant: Mutant) -> bool:
    """Give the function around a mutant its code, for every reference to it; whether the function was found."""
    module = importlib.import_module(_module(mutant))  # some are imported when they are first used
    code: Any = compile(edited((ROOT / mutant.file).read_text("utf-8"), mutant), str(ROOT / mutant.file), "exec")
    holder: Any = module
    while True:
        inner = [one for one in code.co_consts if inspect.iscode(one) and not one.co_name.startswith("<")]
        before = [one for one in inner if one.co_firstlineno <= mutant.lines[0]]
        if not before:
            return False
        code = max(before, key=lambda one: one.co_firstlineno)
        name = code.co_name
        if name.startswith("__") and not name.endswith("__"):
            return False
        holder = inspect.getattr_static(holder, name, None)
        if code.co_flags & inspect.CO_OPTIMIZED:
            break
    function = getattr(holder, "fget", None) or getattr(holder, "__func__", None) or holder
    function = inspect.unwrap(function) if callable(function) else None
    if not inspect.isfunction(function) or function.__code__.co_freevars != code.co_freevars:
        return False
    function.__code__ = code
    return True


def _pytest(tests: Sequence[str], plugin: object) -> int:
    import pytest

    with tempfile.TemporaryDirectory(prefix="mutant-") as folder:
        os.environ["DEVBENCH_HOME"] = f"{folder}/home"
        options = [
            "-x",
            "-q",
            "-p",
            "no:cacheprovider",
            "-p",
            "no:xdist",
            "-s",
            "--tb=no",
            "--no-header",
            "--no-summary",
        ]
        return int(pytest.main([*options, f"--basetemp={folder}/base", *tests], plugins=[plugin]))


def _fork(work: Callable[[], int], log: str = os.devnull) -> int:
    """The number of a process that does the work; it has no terminal and bounded memory."""
    pid = os.fork()
    if pid:
        return pid
    code = 70
    try:
        os.setpgid(0, 0)
        resource.setrlimit(resource.RLIMIT_AS, (_MEMORY_BYTES, _MEMORY_BYTES))
        with Path(log).open("ab") as file, Path(os.devnull).open("rb") as nothing:
            os.dup2(nothing.fileno(), 0)
            os.dup2(file.fileno(), 1)
            os.dup2(file.fileno(), 2)
        code = work()
    finally:
        os._exit(code)


def reached_by(files: Sequence[str], tests: Sequence[str], short: Sequence[str] = ()) -> Reached:
    """Run the unchanged tests once.

    Raises:
        SystemExit: they do not pass.
    """
    with tempfile.TemporaryDirectory() as folder:
        found, log = Path(folder, "reached.json"), Path(folder, "log")

        def work() -> int:
            recorder = _Recorder(files, short)
            code = _pytest(tests, recorder)
            recorder.reached.modules = [name for name in sys.modules if not re.match(r"devbench|tests|__main__", name)]
            found.write_text(json.dumps(asdict(recorder.reached)), "utf-8")
            return code

        if os.waitpid(_fork(work, str(log)), 0)[1]:
            raise SystemExit(f"the tests do not pass without any mutant:\n{log.read_text('utf-8')[-3000:]}")
        values = json.loads(found.read_text("utf-8"))
    lines = {test: [(file, line) for file, line in places] for test, places in values["lines"].items()}
    return Reached(values["seconds"], lines, values["modules"])


def _places(mutant: Mutant) -> set[tuple[str, int]]:
    return {(mutant.file, line) for line in range(mutant.lines[0], mutant.lines[1] + 1)}


def tests_for(mutant: Mutant, reached: Reached) -> list[str]:
    """The tests that run the mutant's lines, fastest first; all for what runs while a module is imported."""
    wanted = _places(mutant)
    everything = not mutant.in_function or wanted & set(reached.lines[""])
    tests = [test for test, lines in reached.lines.items() if test and (everything or wanted & set(lines))]
    return sorted(tests, key=lambda test: reached.seconds.get(test, 0.0))


def run(
    mutants: Mapping[int, Mutant], reached: Reached, jobs: int, attempt: Callable[[Mutant, Sequence[str]], int]
) -> dict[int, str]:
    """By the mutant's number: `killed`, `timeout`, `survived`, `not reached`, or `again` if it was not applied."""
    outcome: dict[int, str] = {}
    running: dict[int, tuple[int, float]] = {}
    # In random order: what an interrupted run has printed is a sample.
    waiting = list(mutants.items())
    random.Random(1).shuffle(waiting)
    while waiting or running:
        while waiting and len(running) < jobs:
            number, mutant = waiting.pop()
            tests = tests_for(mutant, reached)
            if not tests:
                outcome[number] = "not reached"
                _tell(mutant, outcome[number], len(outcome), len(mutants))
                continue
            seconds = sum(reached.seconds[test] for test in tests)
            work = functools.partial(attempt, mutant, tests)
            running[_fork(work)] = number, time.monotonic() + 60 + 20 * seconds
        for pid, (number, deadline) in list(running.items()):
            done, status = os.waitpid(pid, os.WNOHANG)
            if done:
                outcome[number] = _OUTCOMES.get(os.waitstatus_to_exitcode(status), "killed")
            elif time.monotonic() > deadline:
                os.killpg(pid, signal.SIGKILL)
                os.waitpid(pid, 0)
                outcome[number] = "timeout"
            else:
                continue
            del running[pid]
            _tell(mutants[number], outcome[number], len(outcome), len(mutants))
        time.sleep(0.01)
    return outcome


def _tell(mutant: Mutant, outcome: str, done: int, of: int) -> None:
    """One line on standard error, with the edit unless it was noticed: an interrupted run shows it too."""
    place = f"{mutant.file}:{mutant.start[0]} {mutant.kind}"
    old, new = (" ".join(text.split())[:150] for text in (mutant.old, mutant.new))
    edit = "" if outcome in ("killed", "timeout") else f": {old} => {new}"
    os.write(_SCREEN, f"{done} of {of}: {outcome} {place}{edit}\n".encode())


def outcomes(mutants: Sequence[Mutant], reached: Reached, jobs: int, tests: Sequence[str]) -> dict[int, str]:
    """The outcome of each mutant by its number: replaced in a running process where that is enough."""
    at_import = set(reached.lines[""])
    quick = {
        number: mutant
        for number, mutant in enumerate(mutants)
        if mutant.in_function and not at_import & _places(mutant)
    }
    with tempfile.TemporaryDirectory() as folder:
        found = Path(folder, "outcomes.json")
        os.waitpid(_fork(lambda: _pytest(tests, _Server(quick, reached, jobs, found))), 0)
        outcome = {int(number): kind for number, kind in json.loads(found.read_text("utf-8")).items()}
    slow = {n: mutant for n, mutant in enumerate(mutants) if outcome.get(n, "again") == "again"}
    for name in reached.modules:
        with contextlib.suppress(Exception):
            importlib.import_module(name)
    return outcome | run(slow, reached, jobs, _try)


def _try(mutant: Mutant, tests: Sequence[str]) -> int:
    sys.meta_path.insert(0, _Finder(mutant))
    return _pytest(sorted({test.partition("::")[0] for test in tests}), _Chosen(tests))


def main() -> int:
    options = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    options.add_argument("suite", choices=SUITES)
    options.add_argument("--mutants", type=int, default=400)
    options.add_argument("--seed", type=int, default=1)
    options.add_argument("--jobs", type=int, default=2)
    options.add_argument("--out", type=Path, help="write mutants and outcomes as JSON")
    options.add_argument("--again", type=Path, help="only the mutants of this file that were not killed")
    given = options.parse_args()
    os.chdir(ROOT)
    os.nice(max(0, 4 - os.nice(0)))
    sys.path.insert(0, str(ROOT))
    patterns, test_patterns = SUITES[given.suite]
    files = sorted({path for pattern in patterns for path in ROOT.glob(pattern)})
    tests = [str(path.relative_to(ROOT)) for pattern in test_patterns for path in sorted(ROOT.glob(pattern))]
    mutants = drawn(files, given.mutants, given.seed)
    if given.again:
        known = {
            (one["file"], tuple(one["start"]), one["new"])
            for one in json.loads(given.again.read_text("utf-8"))
            if one["outcome"] not in ("killed", "timeout")
        }
        mutants = [mutant for mutant in mutants if (mutant.file, mutant.start, mutant.new) in known]
    began = time.monotonic()
    seconds = reached_by((), tests).seconds
    short = [test for test, taken in seconds.items() if taken <= _LONGEST_TEST_S]
    reached = reached_by([str(path.relative_to(ROOT)) for path in files], tests, short)
    reached.seconds = seconds
    os.write(_SCREEN, f"{len(short)} of {len(seconds)} tests take at most {_LONGEST_TEST_S:g} s\n".encode())
    outcome = outcomes(mutants, reached, given.jobs, tests)
    for number, mutant in enumerate(mutants):
        if outcome[number] in ("survived", "not reached"):
            line = (ROOT / mutant.file).read_text("utf-8").splitlines()[mutant.start[0] - 1].strip()
            print(f"{mutant.file}:{mutant.start[0]} {mutant.kind}, {outcome[number]}: {line}")
            print(f"    - {' '.join(mutant.old.split())[:150]}\n    + {' '.join(mutant.new.split())[:150]}")
    if given.out:
        rows = [{**asdict(mutant), "outcome": outcome[number]} for number, mutant in enumerate(mutants)]
        given.out.write_text(json.dumps(rows, indent=1), "utf-8")
    counts = {kind: list(outcome.values()).count(kind) for kind in ("killed", "timeout", "survived", "not reached")}
    killed = counts["killed"] + counts["timeout"]
    words = ", ".join(f"{count} {kind}" for kind, count in counts.items())
    print(
        f"{given.suite}: {killed / max(1, len(mutants)):.1%} of {len(mutants)} mutants killed ({words}; "
        f"seed {given.seed}, {time.monotonic() - began:.0f} s)"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
