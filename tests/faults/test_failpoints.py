"""Failpoints: what ``TICKR_FAILPOINTS`` may say, what each action does, and that the source reaches what is listed."""

from __future__ import annotations

import ast
import random
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
import trio
import trio.testing

from tests.processes import TickrProcess
from tickr import failpoints
from tickr.cli import settings
from tickr.cli.exits import MISUSED, Exit
from tickr.errors import ConfigError
from tickr.failpoints import POINTS, Action, FailpointError, arm, armed, parse, reach, reach_in_thread

ROOT = Path(__file__).parent.parent.parent
POINT, OTHER = "claim.after_pop", "stop.draining"


@pytest.fixture(autouse=True)
def nothing_is_armed() -> Iterator[None]:
    assert not failpoints._armed
    yield
    failpoints._armed.clear()


# -- what the variable may say ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "actions"),
    [
        ("", {}),
        (" , ,", {}),
        (f"{POINT}=kill", {POINT: Action("kill")}),
        (f" {POINT}=raise , {OTHER}=hang ", {POINT: Action("raise"), OTHER: Action("hang")}),
        (f"{POINT}=sleep:0.5", {POINT: Action("sleep", 0.5)}),
        (f"{POINT}=sleep:2@3", {POINT: Action("sleep", 2.0, passes=2)}),
        (f"{POINT}=kill@1", {POINT: Action("kill")}),
        (f"{POINT}=kill@20%", {POINT: Action("kill", chance=0.2)}),
        (f"{POINT}=kill@0.5%", {POINT: Action("kill", chance=0.005)}),
        (f"{POINT}=hang@100%", {POINT: Action("hang")}),
    ],
)
def test_what_the_variable_may_say(text: str, actions: dict[str, Action]) -> None:
    assert parse(text) == actions


FORM = "write name=action, name=action@3 or name=action@20%, where action is one of kill, raise, hang, sleep:<seconds>."


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("claim.after_pip=kill", 'There is no failpoint "claim.after_pip". Did you mean "claim.after_pop"?'),
        ("zzz=kill", 'There is no failpoint "zzz".'),
        (POINT, f'"{POINT}" is no failpoint: {FORM}'),
        (f"{POINT}=", f'"{POINT}=" is no failpoint: {FORM}'),
        (f"{POINT}=die", f'"{POINT}=die" is no failpoint: {FORM}'),
        (f"{POINT}=KILL", f'"{POINT}=KILL" is no failpoint: {FORM}'),
        (f"{POINT}=sleep", f'"{POINT}=sleep" is no failpoint: {FORM}'),
        (f"{POINT}=sleep:-1", f'"{POINT}=sleep:-1" is no failpoint: {FORM}'),
        (f"{POINT}=hang:3", f'"{POINT}=hang:3" is no failpoint: {FORM}'),
        (f"{POINT}=kill@", f'"{POINT}=kill@" is no failpoint: {FORM}'),
        (f"{POINT}=kill@2.5", f'"{POINT}=kill@2.5" is no failpoint: {FORM}'),
        (f"{POINT}=kill@²", f'"{POINT}=kill@²" is no failpoint: {FORM}'),
        (f"{POINT}=kill@0", f'"{POINT}=kill@0" strikes from no time on: the first is @1.'),
        (f"{POINT}=kill@0%", f'"{POINT}=kill@0%" strikes never, or more than each time: up to @100% there is.'),
        (f"{POINT}=kill@101%", f'"{POINT}=kill@101%" strikes never, or more than each time: up to @100% there is.'),
        (f"{POINT}=kill,{POINT}=raise", f'"{POINT}" stands there twice.'),
    ],
)
def test_what_it_may_not_say(text: str, fault: str) -> None:
    with pytest.raises(ConfigError) as refused:
        parse(text)
    assert list(refused.value.faults) == [f"TICKR_FAILPOINTS: {fault}"]


def test_all_faults_are_told_at_once() -> None:
    with pytest.raises(ConfigError) as refused:
        parse(f"claim.after_pip=kill, {OTHER}=raise, {POINT}=die, {POINT}=kill@0")
    assert [fault.split('"')[1] for fault in refused.value.faults] == [
        "claim.after_pip",
        f"{POINT}=die",
        f"{POINT}=kill@0",
    ]


def test_a_fault_ends_the_command_with_exit_code_2_and_arms_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TICKR_FAILPOINTS", f"{OTHER}=kill, claim.after_pip=kill, {POINT}=die")
    with pytest.raises(Exit) as exit_:
        settings.arm_failpoints_or_exit()
    assert exit_.value.exit_code == MISUSED == 2
    assert "claim.after_pip" in exit_.value.message
    assert f"{POINT}=die" in exit_.value.message
    assert not failpoints._armed


def test_the_variable_is_known_and_one_misspelt_is_told() -> None:
    assert settings.stray_variables({"TICKR_FAILPOINTS": ""}) == []
    (sentence,) = settings.stray_variables({"TICKR_FAILPOINT": ""})
    assert "did you mean TICKR_FAILPOINTS?" in sentence


@pytest.mark.slow
def test_a_node_that_is_made_to_fail_says_so_in_its_log() -> None:
    with TickrProcess(store="memory:", variables={"TICKR_FAILPOINTS": f"{OTHER}=kill"}) as node:
        (line,) = [line for line in node.log.splitlines() if "failpoints.armed" in line]
        assert '"level":"warning"' in line
        assert f'"points":["{OTHER}"]' in line
        node.terminate()
        assert node.wait() == -signal.SIGKILL
        assert f"failpoint {OTHER}: kill\n" in node.log


@pytest.mark.slow
def test_a_node_does_not_start_with_a_fault() -> None:
    node = TickrProcess(store="memory:", variables={"TICKR_FAILPOINTS": "claim.after_pip=kill"})
    try:
        node.start(wait=False)
        assert node.wait() == 2
        assert 'Error: TICKR_FAILPOINTS: There is no failpoint "claim.after_pip". Did you mean' in node.log
    finally:
        node.close()


# -- what happens at a point ------------------------------------------------------------------------------------------


async def test_nothing_armed_is_nothing_done_and_no_checkpoint() -> None:
    with trio.testing.assert_no_checkpoints():
        await reach(POINT)
    reach_in_thread(POINT)
    arm(parse(f"{OTHER}=hang, run.before_handler=raise@2, run.after_handler=raise@0.000001%"))
    for name in (POINT, "run.before_handler", "run.after_handler"):
        with trio.testing.assert_no_checkpoints():
            await reach(name)


@pytest.mark.parametrize("call", ["trio.run(failpoints.reach, name)", "failpoints.reach_in_thread(name)"])
def test_kill_is_a_sigkill_that_is_told_on_stderr(call: str) -> None:
    program = f"""
import trio
from tickr import failpoints
name = {POINT!r}
failpoints.arm(failpoints.parse(name + "=kill@2"))
{call}
print("once", flush=True)
try:
    {call}
finally:
    print("never", flush=True)
"""
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT, timeout=30)
    assert (ended.returncode, ended.stdout, ended.stderr) == (
        -signal.SIGKILL,
        "once\n",
        f"failpoint {POINT}: kill\n",
    )


async def test_raise_is_an_error_that_nobody_foresaw(capfd: pytest.CaptureFixture[str]) -> None:
    arm(parse(f"{POINT}=raise"))
    with pytest.raises(FailpointError, match=POINT):
        await reach(POINT)
    with pytest.raises(FailpointError, match=POINT):
        await trio.to_thread.run_sync(reach_in_thread, POINT)
    assert capfd.readouterr().err == 2 * f"failpoint {POINT}: raise\n"


async def test_sleep_goes_on_later(autojump_clock: trio.testing.MockClock) -> None:
    arm(parse(f"{POINT}=sleep:2.5"))
    began = trio.current_time()
    await reach(POINT)
    assert trio.current_time() - began == 2.5


async def test_sleep_in_a_thread_goes_on_later() -> None:
    arm(parse(f"{POINT}=sleep:0.05"))
    began = trio.current_time()
    await trio.to_thread.run_sync(reach_in_thread, POINT)
    assert trio.current_time() - began >= 0.05


async def test_hang_is_for_ever_unless_it_is_cancelled(autojump_clock: trio.testing.MockClock) -> None:
    arm(parse(f"{POINT}=hang"))
    with trio.move_on_after(1e6) as patience:
        await reach(POINT)
    assert patience.cancelled_caught


def test_hang_in_a_thread_is_for_ever(capfd: pytest.CaptureFixture[str]) -> None:
    arm(parse(f"{POINT}=hang"))
    hanging = threading.Thread(target=reach_in_thread, args=(POINT,), daemon=True)  # and it does, until pytest ends
    hanging.start()
    hanging.join(0.05)
    assert hanging.is_alive()
    assert capfd.readouterr().err == f"failpoint {POINT}: hang\n"


async def test_it_strikes_from_the_given_time_on() -> None:
    arm(parse(f"{POINT}=raise@3"))
    assert [await strikes() for _ in range(5)] == [False, False, True, True, True]


async def test_it_strikes_with_the_given_chance(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(failpoints, "random", random.Random(1))
    arm(parse(f"{POINT}=raise@20%"))
    assert 150 < sum([await strikes() for _ in range(1000)]) < 250


async def strikes() -> bool:
    try:
        await reach(POINT)
    except FailpointError:
        return True
    return False


def test_threads_that_reach_a_point_at_once_are_counted_apart() -> None:
    arm(parse(f"{POINT}=raise@101"))
    struck = Counter[bool]()
    lock, start = threading.Lock(), threading.Barrier(8)

    def run() -> None:
        start.wait()
        for _ in range(25):
            try:
                reach_in_thread(POINT)
            except FailpointError:
                found = True
            else:
                found = False
            with lock:
                struck[found] += 1

    threads = [threading.Thread(target=run) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert struck == {False: 100, True: 100}


async def test_a_test_may_have_a_call_awaited_instead() -> None:
    reached = []

    async def note() -> None:
        reached.append("outer")

    async def note_inside() -> None:
        reached.append("inner")

    with armed(POINT, note):
        await reach(OTHER)
        await reach(POINT)
        with armed(POINT, note_inside):
            await reach(POINT)
        await reach(POINT)
        reach_in_thread(POINT)  # nobody could await it there
    await reach(POINT)
    assert reached == ["outer", "inner", "outer"]
    with pytest.raises(AssertionError), armed("claim.after_pip", note):
        pass


# -- the source -------------------------------------------------------------------------------------------------------


def reaches() -> Iterator[tuple[ast.Call, bool]]:
    """Yield every call of ``reach`` or ``reach_in_thread`` in the source, and whether it is awaited."""
    for path in sorted((ROOT / "tickr").rglob("*.py")):
        nodes = list(ast.walk(ast.parse(path.read_text())))
        awaited = {id(node.value) for node in nodes if isinstance(node, ast.Await)}
        for node in nodes:
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id.startswith("reach"):
                yield node, id(node) in awaited


def test_every_point_that_is_listed_is_reached_and_every_one_that_is_reached_is_listed() -> None:
    names = {ast.literal_eval(call.args[0]) for call, _ in reaches()}  # fails for one that is not written out
    assert names == set(POINTS)


def test_a_point_in_the_event_loop_is_awaited_and_one_in_a_thread_is_not() -> None:
    for call, awaited in reaches():
        assert awaited == (ast.unparse(call.func) == "reach"), ast.unparse(call)
