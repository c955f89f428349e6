"""JSON of manifests: one meaning or a refusal."""

import pytest

from lsu.runtime.bundles.strict_json import table_from_json
from lsu.runtime.errors import InputError


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"a": 1, "a": 2}', "the key 'a' stands twice"),
        ('{"a": {"b": 1, "c": 2, "b": 1}}', "the key 'b' stands twice"),
        ('{"a": NaN}', "not finite"),
        ('{"a": -Infinity}', "not finite"),
        ('{"a": 1e999}', "not finite"),
        (f'{{"a": {"1" * 5000}}}', "not a JSON file"),
        ('{"a": ' + "[" * 32 + "]" * 32 + "}", "more than 32 levels"),
        ("[" * 100_000, "not a JSON file"),
        ("[1]", "not a table"),
        ("", "not a JSON file"),
    ],
)
def test_json_with_two_meanings_or_none_is_refused(text: str, message: str) -> None:
    with pytest.raises(InputError) as caught:
        table_from_json(text.encode(), "file")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32", "utf-8-sig"])
def test_json_is_utf_8_without_a_mark(encoding: str) -> None:
    with pytest.raises(InputError, match="not a JSON file"):
        table_from_json('{"a": 1}'.encode(encoding), "file")


def test_json_of_32_levels_is_read() -> None:
    text = '{"a": ' + "[" * 31 + "]" * 31 + "}"
    assert "a" in table_from_json(text.encode(), "file")
