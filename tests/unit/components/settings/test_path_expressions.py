"""Expressions of `keep` against the real find: what is kept here is what `find -regextype egrep` matches on a machine.

The expressions are wrapped by the function of the stand-in's flatcar-reset, which does what the real one's does, and
put behind the literal path of the tree that find walks.
"""

from __future__ import annotations

import os
import random
import re
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from components.settings.keep import composed, is_kept, keep_problem
from tests.conftest import missing

ROOT = Path(__file__).parents[4]
SEED = int(os.environ.get("KEEP_SEED", "20261127"))
PAIRS = 5000
NAMES = (
    b"a", b"b", b"ab", b"aab", b"abab", b"A", b"B", b"0", b"1", b"12", b"db1", b"db12", b"log", b".a", b"..a", b"a.b",
    b"a b", b"x*y", b"x+", b"x?", b"(x)", b"[a]", b"{2}", b"a{2}", b"x|y", b"^a", b"$b", b"a$", b"-", b"a-b", b"~",
    b"a~", b"%s", b"a,b", b"a@b:c", b"#", b"a\nb", b"\n", b"a\tb", b"\\", b"\\d", b"d", b"w", b"a'b", b"`", b"<a>",
    b"]", b"}", b"_", "é".encode(), "aé".encode(), "éé".encode(), "日本".encode(), b"\xff", b"a\xffb", b"\xc3",
)  # fmt: skip
LITERALS = "aabbAB0112./-_~%,@:#<>=&;! `]}xy"


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with every name, most of them in a few others."""
    made = tmp_path_factory.mktemp("tree")
    chance = random.Random(SEED)
    for name in NAMES:
        folder = os.fsencode(made) + b"/" + name
        os.mkdir(folder)
        for inner in chance.sample(NAMES, 4):
            os.mkdir(folder + b"/" + inner)
            for file in chance.sample(NAMES, 2):
                with open(folder + b"/" + inner + b"/" + file, "wb"):
                    pass
    return made


def paths_in(tree: Path) -> list[str]:
    found = []
    for folder, folders, files in os.walk(tree):
        found += [os.path.join(folder, name).removeprefix(str(tree)) for name in [*folders, *files]]
    return found


# The stand-in's flatcar-reset, and the check on the machine, each say what they make of one entry after the other.
WRAP = r"""
say() { :; }
eval "$(sed -n '/^keep_regex() {/,/^}/p' "$1")"
source "$2"
BACKUP_DIR=/flatcar-backup RESET_FILE=/selective-os-reset
for entry in "${@:3}"; do
  KEEP=("$entry")
  printf '%s\0%s\0' "$(keep_regex)" "$(all_kept)"
done
"""


def wrapped(entries: Sequence[str]) -> list[str]:
    """What flatcar-reset makes of each entry; the same as the check on the machine, and as this program."""
    scripts = ROOT / "toolchain/image/machine/usr/bin/flatcar-reset", ROOT / "components/scripts/keep.sh"
    argv = ["bash", "-euc", WRAP, "bash", *map(str, scripts), *entries]
    made = subprocess.run(argv, capture_output=True, check=True).stdout.decode().split("\0")[:-1]
    by_reset, by_check = made[::2], made[1::2]
    assert by_reset == by_check == [composed((entry,)) for entry in entries]
    return by_reset


def found_by(expressions: Sequence[str], tree: Path, locale: str) -> list[set[str]]:
    """What find matches for each of the expressions, in one run."""
    prefix = re.sub(r"([\\.\[\]()*+?{}|^$])", r"\\\1", str(tree))
    test: list[str] = []
    for number, expression in enumerate(expressions):
        test += [*([","] if test else []), "(", "-regex", prefix + expression, "-printf", f"{number} %P\\0", ")"]
    done = subprocess.run(
        ["find", str(tree), "-mindepth", "1", "-regextype", "egrep", *test],
        env={"PATH": os.environ["PATH"], "LC_ALL": locale}, capture_output=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, b"")
    found: list[set[str]] = [set() for _ in expressions]
    for line in done.stdout.split(b"\0")[:-1]:
        index, _, path = line.partition(b" ")
        found[int(index)].add("/" + os.fsdecode(path))
    return found


class Expressions:
    """Random entries: some made out of a path of the tree, some of the grammar, some of nothing but signs."""

    def __init__(self, chance: random.Random, paths: Sequence[str]) -> None:
        self.chance, self.paths = chance, paths

    def next(self) -> str:
        """One that keep takes."""
        while True:
            made = self.chance.choice((self.of_a_path, self.of_the_grammar, self.of_signs))()
            if keep_problem(made) is None:
                return made

    def of_a_path(self) -> str:
        made = ""
        for character in self.chance.choice(self.paths):
            how = self.chance.randrange(9) if character != "/" else self.chance.randrange(5)
            made += {
                5: ".", 6: self.bracket(character), 7: f"({self.quoted(character)}|{self.quoted(self.literal())})",
                8: f"({self.quoted(character)}{self.quoted(character)}*)",
            }.get(how, self.quoted(character))  # fmt: skip
            made += self.repeat() if how > 5 and self.chance.random() < 0.5 else ""
        return made + self.chance.choice(("", "", "/", "/.*", "(/.*)?", ".?"))

    def of_the_grammar(self) -> str:
        return "/" + "".join(self.part(3) for _ in range(self.chance.randrange(1, 6)))

    def of_signs(self) -> str:
        return "/" + "".join(self.chance.choices(r"ab/().*+?|[]^-{}\12,=:", k=self.chance.randrange(2, 12)))

    def part(self, depth: int) -> str:
        kind = self.chance.randrange(4 if depth else 3)
        if kind == 3:
            inner = ["".join(self.part(depth - 1) for _ in range(self.chance.randrange(4))) for _ in range(3)]
            atom = f"({'|'.join(inner[: self.chance.randrange(1, 4)])})"
        else:
            atom = (self.quoted(self.literal()), ".", self.bracket(self.literal()))[kind]
        return atom + (self.repeat() if self.chance.random() < 0.4 else "")

    def literal(self) -> str:
        return self.chance.choice(LITERALS)

    def quoted(self, character: str) -> str:
        return "\\" + character if character in r"\.[](){}*+?|^$" else character

    def bracket(self, character: str) -> str:
        pieces = [
            character,
            *self.chance.sample(["0-9", "a-c", "A-z", "+-9", "/", ".", "b", "[:digit:]", "[:xdigit:]"], 2),
        ]
        return f"[{self.chance.choice(('', '', '^'))}{''.join(pieces)}{self.chance.choice(('', '', '-'))}]"

    def repeat(self) -> str:
        return self.chance.choice(("*", "+", "?", "{2}", "{0}", "{1,}", "{0,2}", "{,2}", "{1,3}", "*?"))


def test_what_is_kept_is_what_find_matches(tree: Path) -> None:
    if not shutil.which("find"):
        missing("find")
    chance = random.Random(SEED)
    paths = paths_in(tree)
    made = Expressions(chance, paths)
    entries = [made.next() for _ in range(PAIRS // 5)]
    disagreements: list[tuple[str, str]] = []
    pairs = matched = odd = 0
    for start in range(0, len(entries), 100):
        batch = entries[start : start + 100]
        whole = wrapped(batch)
        results = zip(batch, found_by(whole, tree, "C"), found_by(whole, tree, "C.UTF-8"), strict=True)
        for entry, in_c, in_utf8 in results:
            some = set(chance.sample(paths, 4)) | set(
                chance.sample(sorted(in_c | in_utf8), min(4, len(in_c | in_utf8)))
            )
            for path in some:
                pairs += 1
                matched += path in in_c
                odd += not path.isascii()
                wanted = {path in in_c, path in in_utf8} if path.isascii() else {path in in_c or path in in_utf8}
                if wanted != {is_kept(path, [entry])}:
                    disagreements.append((entry, path))
    result = f"{len(disagreements)} disagreements"
    print(f"seed {SEED}: {pairs} pairs of {len(entries)} expressions, {matched} matched: {result}")
    assert pairs >= PAIRS
    assert matched > PAIRS // 5
    assert odd > PAIRS // 20
    assert disagreements == []
