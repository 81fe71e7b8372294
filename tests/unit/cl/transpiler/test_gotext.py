"""Texts as Go reads and prints them: URLs, data URLs, units, versions, quoting."""

from __future__ import annotations

import base64
import gzip

import pytest

from cl.transpiler.gotext import lower, parse_version, quote
from cl.transpiler.gourl import UrlError, parse_url, query_values, without_secrets
from cl.transpiler.ignition.checks import CheckError, data_url, decode_data_url, unit_sections

pytestmark = pytest.mark.covering


@pytest.mark.parametrize(
    "url",
    [
        "http://[::1%25]/",
        "http://[fe80::1%25%zz]/",
        "http://[fe80::1%25%01]/",
        "http://[::1]x/",
        "http://%41/",
        "http://a/%",
        "a#%z",
        "http://[fe80::1%25a%5E]/",
        "http://a^b/",
        "x://a:b:c/",
    ],
)
def test_a_wrong_url_is_refused(url: str) -> None:
    with pytest.raises(UrlError):
        parse_url(url)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("http://[fe80::1%25%20x]:80/", "http://[fe80::1%25%20x]:80/"),
        ("a b:c/%3a", None),
        ("x y/%20:", "x%20y/%20:"),
        ("a%3Ab c", "./a:b%20c"),
        ("x://a:1:2/", "x://a:1:2/"),
        ("//host/a", "//host/a"),
        ("///a", "///a"),
        ("*?a", "*?a"),
        ("http://%C3%A4/", "http://%C3%A4/"),
    ],
)
def test_a_url_is_printed_as_go_prints_it(url: str, shown: str | None) -> None:
    if shown is None:
        with pytest.raises(UrlError):
            parse_url(url)
    else:
        assert parse_url(url).text == shown


def test_a_query_is_read_pair_by_pair() -> None:
    assert query_values("a=1&b=2&a=%33+4&a=%z&a;b&&a", "a") == ["1", "3 4", ""]


@pytest.mark.parametrize(
    ("url", "data"),
    [
        ("data:,a%20b", b"a b"),
        ("data:text/plain;charset=utf-8,x", b"x"),
        ('data:text/plain;a="b\\"c";d=e,x', b"x"),
        ('data:text/plain;a="";d=%zz,x', b"x"),
        ("data:x-a/b,x", b"x"),
        ("data:;base64,aG\nk=", b"hi"),
        ("data:image/png;base64,", b""),
    ],
)
def test_a_data_url_is_decoded(url: str, data: bytes) -> None:
    assert decode_data_url(url) == data


@pytest.mark.parametrize(
    "url",
    [
        "DATA:,",
        "data:",
        "data:a/b,",
        'data:text/plain;a="\\q",x',
        "data:text/plain;a=%z,x",
        "data:;base64,a",
        "data:;base64;a=b",
        "data:,ü",
        "data:,%4",
        "data:text/plain",
    ],
)
def test_a_wrong_data_url_is_refused(url: str) -> None:
    with pytest.raises(CheckError):
        decode_data_url(url)


def test_a_data_url_holds_any_bytes() -> None:
    assert decode_data_url(data_url(bytes(range(256)))) == bytes(range(256))


def test_long_lines_are_noticed_where_the_reader_has_them_buffered() -> None:
    long = "x" * 3000
    with pytest.raises(CheckError, match="longer"):
        unit_sections(f"[A]\nB={long}\n")
    with pytest.raises(CheckError, match="longer"):
        unit_sections("y" * 5000)
    with pytest.raises(CheckError, match="longer"):
        unit_sections(f"[A]\nB={'c' * 9000}\nD={long}")
    assert unit_sections("#" + "x" * 2040) == ()
    unnoticed = "[A]\n" + "B=c\n" * 990 + f"D={'x' * 20000}\n"
    assert len(unit_sections(unnoticed)) == 991
    with pytest.raises(CheckError, match="longer"):
        unit_sections("#" + "x" * 9000)
    assert unit_sections(f"[A]\nB=c{'d' * 1800}\\\n e{'f' * 300}\nG=h\n") == ("A", "A")


def test_versions_print_what_they_read() -> None:
    assert str(parse_version("03.05.0-rc.1+b")) == "3.5.0-rc.1+b"


def test_case_folds_one_character_at_a_time() -> None:
    assert lower("STABLE") == "stable"
    assert lower("\u00c4\u03a3\u0130") == "\u00e4\u03c3i"


def test_quoting_keeps_what_can_be_printed() -> None:
    assert quote('a"\\\n\x01\x7fü\u2028\U000e0001\udcff') == '"a\\"\\\\\\n\\x01\\x7fü\\u2028\\U000e0001\\xff"'


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://name:pass@h:8/a?token=x#f", "https://h:8/a?…#f"),
        ("http://h/a", "http://h/a"),
        ("http://[x/a?b", "…"),
    ],
)
def test_a_url_is_shown_without_what_may_be_secret_in_it(url: str, shown: str) -> None:
    assert without_secrets(url) == shown


def test_a_data_url_is_decompressed() -> None:
    url = "data:;base64," + base64.b64encode(gzip.compress(b"hello")).decode()
    assert decode_data_url(url, "gzip") == b"hello"
    assert decode_data_url("data:,hello", "") == b"hello"
    with pytest.raises(CheckError, match="can't be decompressed"):
        decode_data_url("data:,hello", "gzip")
