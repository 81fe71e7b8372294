"""Container Linux Configs held against the original ct and ign-converter, built from their Go modules."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

import pytest

from cl.transpiler import transpile
from tests.support.cases import FILES, case_paths, read_case
from tests.support.clc_configs import Case, generate, mutate
from tests.support.clc_values import odd_configs
from tests.support.ct import disagreement, run_converter, run_ct
from tests.support.originals import SEED, each, generated, original
from tests.support.spec3 import plain

GENERATED = generated(5000)
CASES = case_paths("clc")


@pytest.fixture(scope="module")
def ct() -> Path:
    return original("ct", "github.com/flatcar/container-linux-config-transpiler/internal", "ct")


@pytest.fixture(scope="module")
def converter() -> Path:
    return original("ign-converter", "github.com/coreos/ign-converter/internal", "ign-converter")


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_a_golden_case_is_what_ct_makes_of_it(ct: Path, path: Path) -> None:
    case = read_case(path)
    theirs = run_ct(ct, case.config, platform=case.platform, files_dir=case.files_dir, strict=case.strict)
    ours = transpile(case.config, dialect="clc", platform=case.platform, files_dir=case.files_dir, strict=case.strict)
    assert not theirs.crashed
    assert disagreement(theirs, ours) is None


def compare(ct: Path, case: Case) -> tuple[str, str | None]:
    """(ct's verdict, what differs) for one config. ct has crashes of its own; we have none."""
    files_dir = FILES if case.files_dir else None
    theirs = run_ct(ct, case.text, platform=case.platform, files_dir=files_dir, strict=case.strict)
    ours = transpile(case.text, dialect="clc", platform=case.platform, files_dir=files_dir, strict=case.strict)
    if theirs.crashed:
        return "crashed", None
    return "accepted" if theirs.json is not None else "refused", disagreement(theirs, ours)


def test_generated_configs_agree_with_ct(ct: Path) -> None:
    print(f"seeds {SEED} to {SEED + GENERATED - 1}")
    cases = [generate(Random(seed)) for seed in range(SEED, SEED + GENERATED)]
    answers = each(lambda case: compare(ct, case), cases)
    wrong = [f"seed {SEED + at}: {answer}" for at, (_, answer) in enumerate(answers) if answer is not None]
    verdicts = Counter(verdict for verdict, _ in answers)
    print(verdicts)
    assert not wrong, f"{len(wrong)} differ, the first: {wrong[0]}"
    assert verdicts["refused"] > GENERATED / 3
    assert verdicts["accepted"] > GENERATED / 3
    assert verdicts["crashed"] < GENERATED / 100


def test_each_key_with_odd_values_agrees_with_ct(ct: Path) -> None:
    cases = [Case(text, "", files_dir=True, strict=False) for text in odd_configs(Random(SEED), GENERATED // 1000)]
    answers = each(lambda case: compare(ct, case), cases)
    wrong = [f"{cases[at].text}\n{answer}" for at, (_, answer) in enumerate(answers) if answer is not None]
    assert not wrong, f"{len(wrong)} differ, the first: {wrong[0]}"
    verdicts = Counter(verdict for verdict, _ in answers)
    assert min(verdicts["accepted"], verdicts["refused"]) > len(cases) / 5


def convert(converter: Path, case: Case) -> tuple[str, str | None]:
    """(ign-converter's verdict, what differs) for the Ignition 2 config that a config makes.

    Flatcar's conversion began as a copy of ign-converter: it takes more, refuses two things more, and loses less.
    """
    native = transpile(case.text, dialect="clc", platform=case.platform, files_dir=FILES)
    ours = transpile(case.text, dialect="clc", platform=case.platform, files_dir=FILES, spec="3")
    if native.json is None:
        return "never an Ignition config", None if ours.json is None else "accepted"
    with TemporaryDirectory() as folder:
        theirs = run_converter(converter, native.json, Path(folder))
    if theirs is None:
        return "refused", None
    config = json.loads(native.json)
    mounts = [filesystem.get("mount") for filesystem in config["storage"].get("filesystems", [])]
    if any(mount is None or not mount.get("create", {"force": True}).get("force") for mount in mounts):
        return "refused by Flatcar", None if ours.json is None else "accepted"
    if ours.json is None:
        return "converted", f"ours: {ours.report.render()}"
    for entry in (*theirs.get("storage", {}).get("files", []), *theirs.get("storage", {}).get("directories", [])):
        if "mode" in entry:
            entry["mode"] &= 0o777
    for user, said in zip(theirs.get("passwd", {}).get("users", []), config["passwd"].get("users", []), strict=True):
        user.update(said.get("create", {}))
    same = plain(theirs) == plain(json.loads(ours.json))
    return "converted", None if same else f"theirs {json.dumps(theirs)}\nours   {ours.json}"


def test_what_ign_converter_takes_becomes_the_same_as_there(converter: Path) -> None:
    golden = [read_case(path) for path in CASES]
    cases = [Case(case.config, case.platform, files_dir=True, strict=False) for case in golden]
    cases += [generate(Random(seed)) for seed in range(SEED, SEED + GENERATED // 4)]
    answers = each(lambda case: convert(converter, case), cases)
    wrong = [f"{cases[at].text}\n{answer}" for at, (_, answer) in enumerate(answers) if answer is not None]
    assert not wrong, f"{len(wrong)} differ, the first:\n{wrong[0]}"
    verdicts = Counter(verdict for verdict, _ in answers)
    assert min(verdicts["refused"], verdicts["converted"]) > 20


def test_mutated_texts_end_in_a_report() -> None:
    for seed in range(SEED, SEED + GENERATED // 2):
        random = Random(seed)
        case = generate(random)
        text = mutate(case.text, random)
        result = transpile(text, platform=case.platform, files_dir=FILES)
        assert result.json is not None or result.report.render()


def test_mutated_texts_are_taken_and_refused_as_by_ct(ct: Path) -> None:
    """All but a few: libyaml and yaml.v3 part ways where nobody writes, as behind a byte order mark inside a text."""

    def differs(seed: int) -> bool:
        random = Random(seed)
        case = generate(random)
        text = "".join(character for character in mutate(case.text, random) if character != "\ud800")
        theirs = run_ct(ct, text, platform=case.platform, files_dir=FILES)
        ours = transpile(text, dialect="clc", platform=case.platform, files_dir=FILES)
        return not theirs.crashed and theirs.json != ours.json

    seeds = range(SEED, SEED + GENERATED // 5)
    wrong = [seed for seed, differ in zip(seeds, each(differs, seeds), strict=True) if differ]
    assert len(wrong) <= len(seeds) / 500, f"seeds {wrong}"
