"""Numbers of inputs, and the table at the end."""

import os
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import pytest

pytest.register_assert_rewrite("hostile.writers")  # before it is imported

from hostile.harness import ENDS, Case, Tally, attack  # noqa: E402
from hostile.writers import Whole, make_world, writers  # noqa: E402

# Inputs are tried in forked children.
collect_ignore_glob = [] if hasattr(os, "fork") else ["test_*.py"]

TALLIES = pytest.StashKey[dict[str, Tally]]()
TIMES = 20  # `-m hostile` tries so many times the inputs of a usual run, all of them others


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--hostile-number", type=int, help="try one input only, and keep its folder")


def many(count: int) -> list[object]:
    """0 in a usual run, and 1 to ``count`` with `-m hostile`: parameters of a test."""
    return [0, *(pytest.param(i + 1, marks=pytest.mark.hostile) for i in range(count))]


@pytest.fixture(params=many(TIMES))
def part(request: pytest.FixtureRequest) -> int:
    """Which part of all inputs is tried: 0 in a usual run, 1 to 20 with `-m hostile`."""
    return int(request.param)


@pytest.fixture(scope="session")
def tallies(request: pytest.FixtureRequest) -> dict[str, Tally]:
    """By kind; shown at the end."""
    return request.config.stash.setdefault(TALLIES, defaultdict(Tally))


@pytest.fixture
def hostile(
    request: pytest.FixtureRequest, part: int, tallies: dict[str, Tally], tmp_path: Path
) -> Callable[[str, Case, int], None]:
    """Try ``inputs`` inputs of a kind, and fail where one of them ends otherwise than it may."""
    only = request.config.getoption("hostile_number", default=None)

    def hostile(kind: str, case: Case, inputs: int) -> None:
        numbers = range(part * inputs, (part + 1) * inputs)
        folder = tmp_path / "inputs"
        folder.mkdir()
        tally = attack(kind, case, numbers if only is None else [only], folder)
        total = tallies[kind]
        total.ends.update(tally.ends)
        total.findings += tally.findings
        if tally.findings:
            test = f"{request.path.relative_to(request.config.rootpath)}"
            how = f'python -m pytest "{test}" -k "{request.function.__name__}" --hostile-number'
            pytest.fail(f"{kind}: {tally.describe(how)}\nThe inputs are in {folder}", pytrace=False)

    return hostile


@pytest.fixture(scope="session")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Whole]:
    """The undisturbed run of a writer, by its name."""
    known = writers(make_world(tmp_path_factory.mktemp("world")))
    done: dict[str, Whole] = {}

    def whole(name: str) -> Whole:
        if name not in done:
            done[name] = Whole(known[name], tmp_path_factory.mktemp("runs") / name)
        return done[name]

    return whole


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    tallies = config.stash.get(TALLIES, {})
    if not tallies:
        return
    terminalreporter.section("hostile inputs")
    columns = (
        "inputs",
        "results",
        "errors",
        "uncaught",
        "hangs",
        "crashes",
        "memory",
        "left",
        "partial",
    )
    terminalreporter.write_line(f"{'kind':24}" + "".join(f"{name:>9}" for name in columns))
    rows = {name: _row(tally) for name, tally in tallies.items()}
    rows["all"] = [sum(column) for column in zip(*rows.values(), strict=True)]
    for name, row in rows.items():
        terminalreporter.write_line(f"{name:24}" + "".join(f"{count:9}" for count in row))


def _row(tally: Tally) -> list[int]:
    return [sum(tally.ends.values()), *(tally.ends[end] for end in ENDS), tally.partial]
