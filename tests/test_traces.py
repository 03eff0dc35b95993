"""Trace context as W3C has it: what is read of it, in which form it goes on, what is no trace."""

from __future__ import annotations

import re
import string
import time

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tickr.traces import MAX_STATE, Trace, read

TRACE_ID, SPAN_ID = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
PARENT = f"00-{TRACE_ID}-{SPAN_ID}-01"


def test_a_trace_is_read() -> None:
    assert read([PARENT]) == Trace(PARENT)
    assert read([f" \t{PARENT} "], ["rojo=00f067aa0ba902b7"]) == Trace(PARENT, "rojo=00f067aa0ba902b7")


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        (f"00-{TRACE_ID}-{SPAN_ID}-00", "00"),
        (f"00-{TRACE_ID}-{SPAN_ID}-03", "03"),
        (f"00-{TRACE_ID}-{SPAN_ID}-ff", "03"),
        (f"01-{TRACE_ID}-{SPAN_ID}-01", "01"),
        (f"cc-{TRACE_ID}-{SPAN_ID}-09-what-comes-later", "01"),
        (f"fe-{TRACE_ID}-{SPAN_ID}-00-", "00"),
    ],
)
def test_a_later_version_is_read_as_far_as_it_is_known_and_unknown_flags_are_cleared(given: str, kept: str) -> None:
    assert read([given]) == Trace(f"00-{TRACE_ID}-{SPAN_ID}-{kept}")


@pytest.mark.parametrize(
    "given",
    [
        "",
        "00",
        PARENT[:-1],
        PARENT + "0",
        PARENT + "-",
        PARENT + "-more",
        PARENT.upper(),
        PARENT.replace("-", "_"),
        PARENT + "\n",
        f"ff-{TRACE_ID}-{SPAN_ID}-01",
        f"0x-{TRACE_ID}-{SPAN_ID}-01",
        f"01-{TRACE_ID}-{SPAN_ID}-01.more",
        f"01-{TRACE_ID}-{SPAN_ID}-0",
        f"00-{'0' * 32}-{SPAN_ID}-01",
        f"00-{TRACE_ID}-{'0' * 16}-01",
        f"00-{TRACE_ID[:-1]}g-{SPAN_ID}-01",
        f"00-{TRACE_ID}{SPAN_ID}-01",
        f"٠0-{TRACE_ID}-{SPAN_ID}-01",
    ],
)
def test_what_can_not_be_read_is_no_trace(given: str) -> None:
    assert read([given], ["a=1"]) is None


def test_two_traceparents_are_none() -> None:
    assert read([], ["a=1"]) is None
    assert read([PARENT, PARENT], ["a=1"]) is None


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ([""], None),
        ([" , ,\t"], None),
        (["a=1", "b=2"], "a=1,b=2"),
        (["a=1 ,\tb=2,", "", " c= x y "], "a=1,b=2,c= x y"),
        (["1a@b/c*d_e-f=~!"], "1a@b/c*d_e-f=~!"),
        (["a=1,a=2"], "a=1,a=2"),
        ([f"{'k' * 256}={'v' * 255}"], f"{'k' * 256}={'v' * 255}"),
        ([",".join(["a=1"] * 32)], ",".join(["a=1"] * 32)),
    ],
)
def test_a_tracestate_is_kept_without_blanks_and_empty_entries(given: list[str], kept: str | None) -> None:
    assert read([PARENT], given) == Trace(PARENT, kept)


@pytest.mark.parametrize(
    "given",
    [
        *("a", "a=", "=1", "A=1", "a=1=2", "a =1", "é=1", "a=é", "a=\x00", "a=b\tc", "a=1;b=2", "a=1,b"),
        *("_a=1", "a=1,,B=2", f"{'k' * 257}=1", f"a={'v' * 257}", ",".join(["a=1"] * 33), "," * 32),
    ],
)
def test_a_tracestate_that_can_not_be_read_is_left_out_and_costs_no_trace(given: str) -> None:
    assert read([PARENT], [given]) == Trace(PARENT)


def test_a_long_tracestate_is_cut_by_whole_entries_long_ones_first() -> None:
    short = [f"k{number}={'v' * 60}" for number in range(7)]
    long = f"long={'v' * 200}"
    assert read([PARENT], [",".join([short[0], long, *short[1:]])]) == Trace(PARENT, ",".join(short))
    kept = read([PARENT], [",".join(short * 2)])
    assert kept is not None
    assert kept.tracestate == ",".join(short + short[:1])
    one = f"{'k' * 256}={'v' * 256}"
    assert len(one) > MAX_STATE
    assert read([PARENT], [one]) == Trace(PARENT)


def test_another_span_is_in_the_same_trace() -> None:
    assert Trace(PARENT, "a=1").in_span(0xABC) == Trace(f"00-{TRACE_ID}-0000000000000abc-01", "a=1")


# -- for anything -----------------------------------------------------------------------------------------------------

hex_digits = st.text("0123456789abcdef")
parents = st.builds(
    "-".join, st.lists(st.one_of(hex_digits, st.sampled_from(["00", "01", "ff", TRACE_ID, SPAN_ID])), max_size=6)
)
states = st.lists(st.text(string.ascii_lowercase + string.digits + "=, \t@*/_-~é", max_size=600), max_size=3)


@given(st.one_of(parents, st.just(PARENT), st.text()), states)
@example(PARENT, [",".join(f"k{number}={'v' * 30}" for number in range(32))])
def test_what_is_kept_is_well_formed_and_read_again_is_the_same(parent: str, state: list[str]) -> None:
    trace = read([parent], state)
    if trace is None:
        assert parent.strip(" \t") != PARENT
        return
    assert re.fullmatch(r"00-[0-9a-f]{32}-[0-9a-f]{16}-0[0-3]", trace.traceparent)
    if trace.tracestate is not None:
        assert len(trace.tracestate) <= MAX_STATE
        assert 1 <= len(trace.tracestate.split(",")) <= 32
        assert set(trace.tracestate.split(",")) <= {one.strip(" \t") for part in state for one in part.split(",")}
    assert read([trace.traceparent], [trace.tracestate or ""]) == trace


@pytest.mark.parametrize(
    "text",
    [" " * 16_000 + "=", ("a=" + "v" * 255 + ",") * 60, "a= " * 5_000, ("a=" + " " * 255) * 60, "," * 16_000],
    ids=["blanks", "too many", "equals", "blank values", "commas"],
)
def test_nothing_that_headers_hold_takes_long(text: str) -> None:
    began = time.process_time()
    for _ in range(10):
        assert read([PARENT], [text]) == Trace(PARENT)
        assert read([text]) is None
    assert time.process_time() - began < 1, "of ten times"
