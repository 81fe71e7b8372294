"""What is kept: which entries are taken, what is said of the others, what they match. The oracle asks the real find."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.commands.reprovision.os_made import OS_MADE
from components.settings.keep import (
    HOST_KEYS,
    KEEP_PRESETS,
    MAX_BYTES,
    is_kept,
    keep_problem,
    keep_problems,
    kept_paths,
)
from components.settings.path_expressions import MAX_SIZE, expression_problem, matches


@pytest.mark.parametrize(
    "entry",
    [
        "logs", "/var/log", "/var/log/", "/srv/[ab].*", "(/a|/b)", "/etc/foo.conf", r"/etc/sysupdate\..*",
        "/srv/a b~#%", "/var/lib/db[0-9]+", "/var/lib/db[[:digit:]]+", "/srv/(a|b)(/.*)?", "/x{2,3}", "/x{,3}",
        "/srv/dä", "/srv/(ä)+", "/srv/.*?", "/srv/x}]", "/srv/[]a-]", "/srv/[^]a]", "/srv/[[]", r"/srv/a\/b",
        "/srv/[+-9]", "/srv/.[^.]+",
        HOST_KEYS, *KEEP_PRESETS, *(entry for preset in KEEP_PRESETS.values() for entry in preset),
    ],
)  # fmt: skip
def test_good_entries(entry: str) -> None:
    assert keep_problem(entry) is None


@pytest.mark.parametrize(
    ("entry", "problem"),
    [
        ("", "is empty"),
        ("/it's", "holds a quote"),
        ('/a"b', "holds a quote"),
        ("/a\nb", "a newline"),
        ("/a\0b", "a NUL"),
        ("/a\x1b[2J", "can't be printed"),
        ("/a\udcff", "can't be printed"),
        ("log", "is no preset"),
        ("./var", "is no preset"),
        ("*/x", "is no preset"),
        ("/etc/machine-id", "machine id is kept anyway"),
        # another meaning, or none, in find
        (r"/var/lib/db\d+", r"holds '\d', which find takes otherwise: write [0-9]"),
        (r"/a\w", "write [A-Za-z0-9_]"),
        (r"/a\bc", "leave it out"),
        (r"/\<a", "leave it out"),
        (r"(/a)\1", r"holds '\1'"),
        (r"/[\d]", r"holds a \ in [ ], where it stands for itself: write [0-9]"),
        (r"/[a\]]", r"holds a \ in [ ]"),
        ("(?:/a|/b)", "holds '(?:', which find does not know: write ( … )"),
        ("(?i)/a", "holds '(?i'"),
        ("(?P<n>/a)", "holds '(?P'"),
        ("/a(?=b)", "holds '(?='"),
        ("/a(?!b)", "holds '(?!'"),
        ("/a[[:foo:]]", "holds '[:foo:]' in [ ]: name the characters"),
        ("/a[[:alpha:]]", "holds '[:alpha:]' in [ ]: write [A-Za-z]"),
        ("/a[[.x.]]", "holds '[.' in [ ]"),
        ("/a[[=x=]]", "holds '[=' in [ ]"),
        ("/[é]", "write (é|…)"),
        ("/é+", "write (é)"),
        ("/[z-a]", "has a range z-a"),
        ("/[a-c-e]", "has a '-' within [ ]"),
        ("/a+?", "repeats a repetition"),
        ("/a**", "repeats a repetition"),
        ("/(*a)", "repeats nothing"),
        ("/a|+b", "repeats nothing"),
        ("/a{x}", r"write \{ for the character"),
        ("/a{,}", r"write \{ for the character"),
        ("/a{3,2}", "the wrong way round"),
        ("/a{70000}", f"repeats more than {MAX_SIZE} times"),
        ("/((a{50}){50}){50}", f"is too large: {MAX_SIZE} characters"),
        ("/(((((){400}){400}){400}){400}){400}", "can match no path"),
        ("/" + "(" * 51 + "a" + ")" * 51, "more than 50 groups"),
        ("/var/(log", "has a ( without its )"),
        ("/var/log)", "has a ) without its ("),
        ("/var/[log", "has a [ without its ]"),
        ("/var/log\\", "ends with a backslash"),
        ("/var/log\\/", "ends with a backslash"),  # flatcar-reset cuts the slash off
        # keeps nothing, or nothing below
        ("^/x", "keeps nothing that is below: write '/x'"),
        ("^/x$", "keeps nothing that is below: write '/x'"),
        (r"\/x", "keeps nothing that is below: write '/x'"),
        ("/x$", "holds '$': leave it out"),
        ("/x^", "holds '^': leave it out"),
        ("/a|/b", "write an entry for each path"),
        ("/", "keeps nothing: name the paths"),
        ("//", "keeps nothing: name the paths"),
        ("/.", "has a part '.', which no path has"),
        ("/./", "has a part '.'"),
        ("/srv/./x", "has a part '.'"),
        ("/srv/..", "has a part '..'"),
        ("/srv/../x", "has a part '..'"),
        ("/srv//x", "can match no path from '/x' on"),
        ("/srv//", "can match no path from '/' on"),
        ("/srv//?x", "can match no path from '/?x' on"),
        ("/srv/*", "can match no path from '/*' on"),
        ("/srv/*", "a folder is kept with all that is in it: write '/srv'"),
        ("/srv/(a|b/)", "can match no path from 'b/)' on"),
        ("(/a|b)", "can match no path from 'b)' on"),
        ("[ab]/x", "can match no path from '[ab]/x' on"),
        ("()", "can match no path"),
        ("(/a){0}", "can match no path"),
        (r"/srv/\./x", "can match no path"),
        # keeps everything
        ("/.*", "keeps everything"),
        ("(/.*)?", "keeps everything"),
        ("/[^/]+", "keeps everything"),
    ],
)  # fmt: skip
def test_bad_entries(entry: str, problem: str) -> None:
    assert problem in (keep_problem(entry) or "")


def test_a_list_that_is_too_long_is_refused() -> None:
    entries = [f"/var/lib/application-{number}/data" for number in range(2000)]
    (problem,) = keep_problems(["logs", *entries])
    assert "is too long: its 2001 entries make an expression of 1" in problem
    assert str(MAX_BYTES) in problem
    assert keep_problems(["logs", *entries[:500]]) == []
    assert keep_problems(["/a", "b", "/c$"])[0].startswith("'b' is no preset")


def test_host_keys_are_always_kept_and_presets_resolved() -> None:
    assert kept_paths([]) == (HOST_KEYS,)
    assert kept_paths(["logs", "/srv", "/var/log"]) == (HOST_KEYS, "/var/log", "/srv")


@pytest.mark.parametrize(
    ("path", "kept"),
    [
        ("/var/log", True),
        ("/var/log/a/b", True),
        ("/var/log/a\nb", True),
        ("/var/logs", False),
        ("/var", False),
        ("/etc/ssh/ssh_host_rsa_key", True),
        ("/etc/ssh/sshd_config", False),
        ("/srv/x", True),
        ("/opt/a", True),
        ("/opt/a/b", False),  # an entry that ends in ] is not taken for a folder
        ("/var/lib/db12", True),
        ("/var/lib/db", False),
        ("/var/lib/dbd", False),
    ],
)
def test_what_survives(path: str, kept: bool) -> None:
    entries = [HOST_KEYS, "/var/log", "/srv/", "/opt/[ab]", "/var/lib/db[[:digit:]]+", r"/var/lib/db\d+"]
    assert is_kept(path, entries) is kept


@given(st.from_regex(r"(/[a-z]{1,4}){1,3}", fullmatch=True), st.from_regex(r"(/[a-z]{1,4}){0,3}", fullmatch=True))
def test_a_plain_folder_keeps_all_under_it(folder: str, below: str) -> None:
    assert is_kept(folder + below, [folder])
    assert not is_kept(folder + "x" + below, [folder])


@pytest.mark.parametrize("expression", ["/(a*)*(a+)+b", "/((a?){20}){20}b", "/(a|aa|a*)*b", "/(.*a){9}b"])
def test_no_expression_takes_long(expression: str) -> None:
    assert keep_problem(expression) is None
    start = time.monotonic()
    assert not matches(expression, "/" + "a" * 300)
    assert time.monotonic() - start < 5


@given(st.text(st.sampled_from("/a.()[]{}*+?|\\^$-:1,"), max_size=12))
def test_any_text_is_taken_or_refused(text: str) -> None:
    problem = keep_problem(text)
    assert problem is None or problem
    if problem is None:
        is_kept("/a", [text])


@pytest.mark.parametrize("expression", OS_MADE)
def test_what_the_system_makes_is_told_by_the_same_expressions(expression: str) -> None:
    assert expression_problem(expression) is None
