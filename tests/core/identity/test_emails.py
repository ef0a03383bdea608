import pytest

from core.identity.emails import normalise_email
from core.identity.errors import InvalidEmail


@pytest.mark.parametrize(
    ("raw", "stored"),
    [
        ("ana@example.test", "ana@example.test"),
        ("  Ana@Example.TEST \n", "ana@example.test"),
        ("ana+cafe@example.test", "ana+cafe@example.test"),
        ("ana@cafe\u0301.test", "ana@caf\u00e9.test"),
    ],
)
def test_one_address_is_written_in_one_way(raw: str, stored: str) -> None:
    assert normalise_email(raw) == stored


@pytest.mark.parametrize(
    "raw",
    [
        "",
        " ",
        "ana",
        "ana@",
        "@example.test",
        "ana@@example.test",
        "a b@example.test",
        "a\x00@example.test",
        "a@b",
        "x" * 250 + "@b.test",
    ],
)
def test_what_is_no_address_is_refused(raw: str) -> None:
    with pytest.raises(InvalidEmail):
        normalise_email(raw)
