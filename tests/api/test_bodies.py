"""Bodies that are not strict JSON, or not a body this call takes: a clean 4xx, and no trace in the store."""

from __future__ import annotations

import json

import msgspec
import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.api.site import Site, open_site
from tickr.api import places, strict, submission
from tickr.api.problems import Problem
from tickr.jobs import NewJob

JOB = b'{"type":"a","payload":%s}'

NOT_STRICT: list[tuple[bytes, str]] = [
    (b"", "invalid_json"),
    (b" \r\n\t", "invalid_json"),
    (b"{", "invalid_json"),
    (b'{"type":"a"', "invalid_json"),
    (b'{"type":"a"} {}', "invalid_json"),
    (b'{"type":"a",}', "invalid_json"),
    (b"{'type':'a'}", "invalid_json"),
    (b'{"type":"a"}\x00', "invalid_json"),
    (JOB % b"NaN", "invalid_json"),
    (JOB % b"Infinity", "invalid_json"),
    (JOB % b"-Infinity", "invalid_json"),
    (JOB % b"1e999", "invalid_json"),
    (JOB % (b"9" * 5000), "invalid_json"),
    (JOB % b"01", "invalid_json"),
    (JOB % b'"\x01"', "invalid_json"),
    (JOB % b'"a\nb"', "invalid_json"),
    (JOB % b'"\\x41"', "invalid_json"),
    (JOB % b'"\\ud800"', "invalid_json"),
    (JOB % b'"\\udc00"', "invalid_json"),
    (JOB % b'{"\\ud83d":1}', "invalid_json"),
    (JOB % b'"\\ud83d\\u0041"', "invalid_json"),
    (JOB % b'"\xed\xa0\x80"', "invalid_utf8"),
    (JOB % b'"\xff"', "invalid_utf8"),
    (JOB % b'"\xc0\x80"', "invalid_utf8"),
    ('{"type":"a"}'.encode("utf-16"), "invalid_utf8"),
    (b"\xef\xbb\xbf" + b'{"type":"a"}', "byte_order_mark"),
    (JOB % b'"\\u0000"', "nul_character"),
    (JOB % b'{"a\\u0000b":1}', "nul_character"),
    (JOB % b'"\\\\\\u0000"', "nul_character"),
    (b'{"type":"a\\u0000"}', "nul_character"),
    (b'{"type":"a","type":"a"}', "duplicate_key"),
    (b'{"type":"a","\\u0074ype":"b"}', "duplicate_key"),
    (JOB % b'[{"x":{"k":1,"k":1}}]', "duplicate_key"),
    (JOB % (b"[" * 64 + b"]" * 64), "too_deep"),
    (JOB % (b'{"a":' * 64 + b"1" + b"}" * 64), "too_deep"),
    (b"[" * 200_000, "too_deep"),
    (b"[" * 200_000 + b"]" * 200_000, "too_deep"),
    (b'{"a":' * 100_000, "too_deep"),
]


@pytest.mark.parametrize(("body", "code"), NOT_STRICT)
async def test_what_is_not_strict_json_is_400_and_leaves_no_trace(site: Site, body: bytes, code: str) -> None:
    for path in ("/jobs", "/api/v2/jobs"):
        answer = await site.send(body, path)
        assert answer.status_code == 400, answer.text
        if path == "/jobs":
            assert answer.headers["content-type"] == "application/problem+json"
            assert answer.json()["code"] == code
            assert answer.json()["detail"]
            assert [set(fault) for fault in answer.json()["errors"]] == [{"pointer", "detail"}]
        else:
            assert answer.json()["success"] is False
    assert await site.rows() == []


LARGE = b'{"x":' + b"[1," * 5 + b"0" + b",1" * places.MAX_STEPS + b"]" * 5 + b',"y":%s}'
FAULTS: list[tuple[bytes, str, str]] = [
    (JOB % b'{"a":[1,{"b":NaN}]}', "/payload/a/1/b", "is NaN, which JSON does not have"),
    (JOB % b"[-Infinity]", "/payload/0", "is -Infinity, which JSON does not have"),
    (JOB % b"[0, 1e999]", "/payload/1", "is a number larger than a double can hold"),
    (JOB % (b"9" * 5000), "/payload", "is a number larger than a double can hold, or of too many digits"),
    (JOB % b'{"a/b":{"c~":"\\ud800"}}', "/payload/a~1b/c~0", "holds half of a surrogate pair"),
    (JOB % b'"\\ud83d\\u0041"', "/payload", "holds half of a surrogate pair"),
    (JOB % b'[{"\\ud83d":1}]', "/payload/0", "holds half of a surrogate pair"),
    (JOB % b'[[],"\\u0000"]', "/payload/1", "holds the character NUL"),
    (JOB % b'{"a":{"\\u0000":1}}', "/payload/a", "holds the character NUL"),
    (JOB % b'[{"x":[{}, {"k":{"k":1},"k":1}]}]', "/payload/0/x/1/k", "comes twice in one object"),
    (b'{"type":"a","\\u0074ype":"b"}', "/type", "comes twice in one object"),
    (JOB % (b'{"%s":[NaN]}' % (b"k" * 300)), "/payload", "is NaN"),
    (JOB % (b"[" * 64 + b"]" * 64), "/payload" + "/0" * 63, "is nested deeper than 64 levels"),
    (JOB % (b"[0," * 100), "/payload" + "/1" * 63, "is nested deeper than 64 levels"),
    (b'{"type":\n "\xff"}', "", "is not UTF-8 at byte 11, in line 2"),
    (b'{"type":"a",\n5}', "", "is no JSON at line 2, column 1: Expecting property name enclosed in double quotes"),
    (b'{"type":"a', "", "is no JSON at line 1, column 9: Unterminated string"),
    (b"", "", "is empty"),
    (LARGE % b"NaN", "", "holds NaN, an infinity"),
    (LARGE % b'{"k":1,"k":2}', "", 'comes twice in one object: the key "k"'),
]


@pytest.mark.parametrize(("body", "pointer", "told"), FAULTS, ids=range(len(FAULTS)))
def test_the_fault_is_told_with_its_place(body: bytes, pointer: str, told: str) -> None:
    with pytest.raises(Problem) as refused:
        strict.check(body)
    (fault,) = refused.value.faults
    assert (fault.pointer, fault.detail[: len(told)]) == (pointer, told)
    assert fault.detail in refused.value.detail
    refused.value.body().decode()  # whatever the pointer holds, it can be sent


@pytest.mark.parametrize(
    "payload",
    [
        b'"\\\\u0000 is text"',
        b'"\\ud83d\\ude00"',
        b'["{[{[", "]", "\\""]',
        b'[{"k":1},{"k":1}]',
        b"[" * 63 + b"]" * 63,
        b"[" + b",".join([b"[{}]"] * 100) + b"]",
        b'"' + b"[" * 100 + b'"',
        b"9" * 4000,
    ],
)
async def test_what_only_looks_bad_is_taken(site: Site, payload: bytes) -> None:
    answer = await site.send(JOB % payload)
    assert answer.status_code == 201, answer.text
    assert (await site.rows())[0].payload == payload.decode()


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"content-type": "text/plain"}, 415),
        ({"content-type": "application/x-www-form-urlencoded"}, 415),
        ({"content-type": ""}, 415),
        ({"content-type": "application/json; charset=latin-1"}, 415),
        ({"content-encoding": "gzip"}, 400),
        ({"content-type": "application/json; charset=UTF-8"}, 201),
        ({"content-type": "application/vnd.tickr+json"}, 201),
    ],
)
async def test_the_body_must_say_that_it_is_json(site: Site, headers: dict[str, str], status: int) -> None:
    answer = await site.send('{"type":"a"}', **headers)
    assert answer.status_code == status, answer.text
    assert len(await site.rows()) == (status == 201)


async def test_no_content_type_is_415(site: Site) -> None:
    answer = await site.talk(
        b"POST /jobs HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{}"
    )
    assert answer.startswith(b"HTTP/1.1 415 ")


async def test_a_body_of_exactly_the_limit_is_taken() -> None:
    async with open_site(max_body=10_000) as site:
        whole = JOB % (b'"' + b"x" * (10_000 - len(JOB % b'""')) + b'"')
        assert len(whole) == 10_000
        assert (await site.send(whole)).status_code == 201
        refused = await site.send(whole + b" ")
        assert refused.status_code == 413
        assert "10000 bytes" in refused.json()["detail"]
        assert len(await site.rows()) == 1


# -- never a 500 ----------------------------------------------------------------------------------------------------

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.sampled_from(["a", "linear", "now"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)
fields = st.sampled_from(
    [field.name for field in msgspec.structs.fields(submission.Submission)] + ["jobtype", "unique"]
)
documents = st.dictionaries(fields | st.text(max_size=4), json_values, max_size=6).map(lambda d: json.dumps(d).encode())
mangled = st.tuples(documents, st.integers(0, 200), st.binary(max_size=3)).map(lambda m: m[0][: m[1]] + m[2] + m[0])
bodies = documents | mangled | st.binary(max_size=40)


@given(bodies)
@settings(deadline=None, max_examples=300)
def test_any_body_is_a_job_or_a_4xx(body: bytes) -> None:
    taken: NewJob | Problem
    try:
        strict.check(body)
        taken = submission.read(body, now=1_800_000_000_000_000, defaults=lambda _type: None)
    except Problem as problem:
        taken = problem
    if isinstance(taken, Problem):
        assert 400 <= taken.status < 500
    else:
        assert taken.payload.encode() in body or taken.payload == "{}"


@given(st.lists(bodies, min_size=1, max_size=20))
@settings(deadline=None, max_examples=15)
def test_no_body_is_ever_a_500(some: list[bytes]) -> None:
    async def run() -> None:
        async with open_site() as site:
            taken = 0
            for body in some:
                for path in ("/jobs", "/api/v2/jobs"):
                    answer = await site.send(body, path)
                    assert answer.status_code in (201, 400, 422, 409), answer.text
                    taken += answer.status_code == 201
            assert len(await site.rows()) == taken

    trio.run(run)
