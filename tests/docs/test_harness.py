"""The harness bites: what is not as the page shows is found, and what only differs from run to run is not."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.docs.comparing import Names
from tests.docs.pages import Command, anchors, blocks, commands, table
from tests.docs.reader import SERVES, reading
from tests.docs.test_examples import LOOKS, command_exists, follow, program

A, B, C = (f"01a1fff2-532a-71c0-ae78-29a9fb1ddb3{digit}" for digit in "abc")


@pytest.mark.parametrize(
    ("shown", "real"),
    [
        ("at 2026-11-21T21:10:37.053340Z", "at 2027-01-01T00:00:00Z"),
        ("21:10:37 job.started  x", "09:00:00 job.started x"),
        ("done 1.1 s ago", "done 23 min ago"),
        ("attempt=1 duration_s=0.1 end", "attempt=1 duration_s=12.5e-05 end"),
        ("one … three", "one two three"),
        ("a\n…\nb", "a\nb"),
        ("a\n…\nb", "a\n1\n2\nb\n"),
        ("id   name", "id name   "),
        (f"{A} {A} {B}", f"{B} {B} {C}"),
        (f"{A}.2.1 5f0c2e9ab714.2", f"{B}.2.1 abcdef012345.17.3"),
        ('{"a": 1,\n "b": "x"}', '{"a":1,"b":"x"}'),
        ('{"b": 2, "…": "…"}', '{"a":1,"b":2}'),
        ('{"a": "2026-11-21T21:10:37Z", "b": "v…"}', '{"a":"2030-11-21T21:10:37.5Z","b":"v12"}'),
        ('HTTP/1.1 200\n…\n\n{"a": 1}', 'HTTP/1.1 200 \ncontent-length: 7\n\n{"a":1}'),
        ("HTTP/1.1 200\ncontent-length: 1\n…", "HTTP/1.1 200\ncontent-length: 2222\n"),
    ],
)
def test_what_differs_with_every_run_is_the_same(shown: str, real: str) -> None:
    assert Names().mismatch(shown, real) is None


@pytest.mark.parametrize(
    ("shown", "real"),
    [
        ("succeeded", "failed"),
        ("", "a warning"),
        ("a\nb", "a\nb\nc"),
        ("a\n…\nb", "a\nb\nc"),
        ("tries 1 of 3", "tries 2 of 3"),
        (f"{A} {A}", f"{B} {C}"),
        (f"{A}.2.1", f"{B}.2.2"),
        ("5f0c2e9ab714.2 5f0c2e9ab714.2", "abcdef012345.17 abcdef012345.18"),
        ('{"a": 1}', '{"a": 1, "b": 2}'),
        ('{"a": 1, "b": 2}', '{"b": 2, "a": 1}'),
        ('{"a": 1, "…": "…"}', '{"b": 1}'),
        ('{"a": null}', '{"a": 0}'),
        ('{"a": 1}', '{"a": true}'),
        ('{"a": [1]}', '{"a": [1, 2]}'),
        ('{"a": 1}', "not JSON"),
        ('HTTP/1.1 200\n…\n\n{"a": 1}', 'HTTP/1.1 201\n\n{"a":1}'),
        ('HTTP/1.1 200\n…\n\n{"a": 1}', 'HTTP/1.1 200\n\n{"a":2}'),
    ],
)
def test_what_is_not_as_shown_is_found(shown: str, real: str) -> None:
    assert Names().mismatch(shown, real)


def test_an_id_once_met_means_the_same_everywhere() -> None:
    names = Names()
    assert names.in_command(f"show {A}") == f"show {A}"
    assert names.mismatch(f'{{"id": "{A}"}}', f'{{"id": "{B}"}}') is None
    assert names.in_command(f"show {A}") == f"show {B}"
    assert names.mismatch(f"{A} ready", f"{B} ready") is None
    assert names.mismatch(f"{A} ready", f"{C} ready")
    assert names.mismatch("cursor 5f0c2e9ab714.2", "cursor abcdef012345.17") is None
    assert names.in_command("after=5f0c2e9ab714.2&job=x") == "after=abcdef012345.17&job=x"


def test_nothing_is_learnt_from_what_is_not_as_shown() -> None:
    names = Names()
    shown = f'{{"id": "{A}", "state": "succeeded"}}'
    assert names.mismatch(shown, f'{{"id": "{B}", "state": "running"}}')
    assert names.mismatch(shown, f'{{"id": "{C}", "state": "succeeded"}}') is None


PAGE = """# Title

## A `b` (c), d

<!-- file: a.py -->
```python
x = 1
```

## A `b` (c), d

<!-- not run: because -->
```console
$ ls
```

```python
y = 2
```

```console
$ one \\
    more
shown

$ curl -d '{
  "a": 1}'
$ last
```

| name | what |
|---|---|
| `a` | one \\| two |
"""


def test_a_page_is_taken_apart() -> None:
    first, second, third, fourth = blocks(PAGE)
    assert (first.line, first.language, first.text, first.file) == (7, "python", "x = 1", "a.py")
    assert (second.not_run, third.not_run) == ("because", None)
    assert commands(fourth) == [
        Command(22, "one \\\n    more", "shown"),
        Command(26, "curl -d '{\n  \"a\": 1}'", ""),
        Command(28, "last", ""),
    ]
    assert list(anchors(PAGE)) == ["title", "a-b-c-d", "a-b-c-d-1"]
    assert table(PAGE, "name") == [["`a`", "one | two"]]
    assert program(blocks(PAGE)).splitlines()[17] == "y = 2"
    assert "x = 1" not in program(blocks(PAGE))


def test_a_page_that_is_not_in_order_is_refused() -> None:
    with pytest.raises(ValueError, match="never closed"):
        blocks("```python\n")
    with pytest.raises(ValueError, match="begins with a command"):
        commands(blocks("```console\nls\n```")[0])
    with pytest.raises(LookupError):
        table(PAGE, "nothing")


def test_what_serves_and_what_only_looks() -> None:
    for words in ("tickr serve", "make run", "TICKR_X=1 tickr serve --x", "tickr serve 2> log &"):
        assert SERVES.search(words), words
    for words in ("tickr show x", "echo tickr served", "grep tickr serve.log"):
        assert not SERVES.search(words), words
    for words in ("curl -s 127.0.0.1/jobs", "tickr list --state failed"):
        assert LOOKS.search(words), words
    for words in ("curl -s x -d '{}'", "curl -X POST x", "curl x \\\n  -d y", "tickr submit x", "tickr retry x"):
        assert not LOOKS.search(words), words


def test_a_command_that_does_not_exist_is_found() -> None:
    command_exists("tickr serve my:jobs --workers 3 2> log &")
    for words in ("tickr lead", "tickr serve --leader"):
        with pytest.raises(AssertionError):
            command_exists(words)


@pytest.mark.slow
async def test_a_reader_does_what_the_page_says(tmp_path: Path) -> None:
    names = Names()
    async with reading(tmp_path, {"the-page": "the-test"}) as reader:
        reader.write("name.txt", "the-page")
        reader.write("name.txt", "goes on")
        assert (tmp_path / "name.txt").read_text() == "the-test\n\n\ngoes on\n"
        await follow(reader, Command(1, "x=5; echo $x >&2; cat name.txt | head -1", "5\nthe-page"), names, "p")
        await follow(reader, Command(2, "echo $x", "5"), names, "p")
        await follow(reader, Command(3, "tickr serve", "Tickr serves on http://127.0.0.1:8080"), names, "p")
        await follow(reader, Command(4, "curl -s 127.0.0.1:8080/livez", '{"status": "alive"}'), names, "p")
        with pytest.raises(AssertionError, match=r"p:5: \$ echo 1\nshown:\n2"):
            await follow(reader, Command(5, "echo 1", "2"), names, "p")


@pytest.mark.slow
async def test_a_tickr_that_does_not_end_well_is_found(tmp_path: Path) -> None:
    (tmp_path / "bad.py").write_text(
        "import os, signal, tickr\njobs = tickr.Jobs()\nimport atexit\natexit.register(os._exit, 7)\n"
    )
    with pytest.raises(AssertionError, match="ended with 7"):
        async with reading(tmp_path, {}) as reader:
            await reader.serve("tickr serve bad:jobs")
