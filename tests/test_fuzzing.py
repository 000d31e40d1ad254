"""Damaged and hostile files of seven kinds: each gives a result or one line, and nothing else."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.fuzzing import (
    KINDS,
    SNIPPET,
    damaged,
    damaged_json,
    damaged_npz,
    damaged_text,
    fuzz,
)

MOST_CASES = {  # in a minute: all are known to pass, and a faster machine tries no others
    **{"sound": 34_000, "words": 7_000, "npz": 1_500, "json": 17_000, "openpose": 25_000},
    **{"video": 5_000, "motion": 30_000},
}


@pytest.mark.parametrize("kind", ["sound", "json", "video"])  # the slow test has all
def test_a_damaged_file_is_read_or_refused_in_one_line(kind: str, tmp_path: Path) -> None:
    outcome = fuzz(kind, tmp_path, seconds=2)
    assert not outcome.failures, "\n".join(outcome.failures)
    assert outcome.worked and outcome.refused


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_a_minute_of_damaged_files(kind: str, tmp_path: Path) -> None:
    outcome = fuzz(kind, tmp_path, seconds=60, cases=MOST_CASES[kind])
    assert not outcome.failures, "\n".join(outcome.failures)
    assert min(outcome.worked, outcome.refused) > 20


@pytest.mark.parametrize("damage", [damaged, damaged_json, damaged_npz, damaged_text])
def test_a_case_depends_on_its_number_alone(damage: Callable, tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", a=np.zeros((3, 2)))
    whole = (tmp_path / "a.npz").read_bytes() if damage is damaged_npz else b'{"a": [1, 2.5]}'
    made = [[damage(whole, np.random.default_rng((0, n))) for n in range(50)] for _ in range(2)]
    assert made[0] == made[1] and len(set(made[0])) > 20


SNIPPETS = {  # of Python: what is said about them
    "raise ValueError('no')": "ValueError: no at",
    "import time; time.sleep(60)": "Timeout",
    "import time; end = time.process_time() + 3\nwhile time.process_time() < end: pass": "took 3 s",
    "import os; os.kill(os.getpid(), 11)": "status -11",
    "open('here', 'w').close()": "",
    "bytearray(1 << 36)": "MemoryError",
    "open('/dev/full', 'a')": "writes /dev/full",
    "import os; os.open('../../outside', os.O_CREAT | os.O_WRONLY)": "writes /",
    "import subprocess; subprocess.run(['true'])": "subprocess.Popen",
    "import pickle; pickle.loads(pickle.dumps(print))": "pickle.find_class",
    "import sys; print('x' * 501, file=sys.stderr)": "501 characters",
    "raise SystemExit(3)": "status 3",
    "raise DataError('\\x1b[31m' + 'x' * 999)": "",
}


def test_the_harness_notices_what_should_not_happen(tmp_path: Path) -> None:
    (tmp_path / "snippets.json").write_text(json.dumps(list(SNIPPETS)))
    outcome = fuzz(SNIPPET, tmp_path, seconds=60, cases=len(SNIPPETS), patience=2)
    found = {int(re.findall(r"case (\d+)", text)[0]): text for text in outcome.failures}
    expected = {number: text for number, text in enumerate(SNIPPETS.values()) if text}
    assert found.keys() == expected.keys()
    for number, text in expected.items():
        assert text in found[number]
        assert (tmp_path / f"case_{number}" / "a.bin").exists()


@pytest.mark.slow
def test_the_harness_notices_too_much_memory(tmp_path: Path) -> None:
    (tmp_path / "snippets.json").write_text(json.dumps(["a = bytearray(b'x') * (7 << 29)"]))
    (failure,) = fuzz(SNIPPET, tmp_path, seconds=60, cases=1, patience=60).failures
    assert re.search(r"took 3\d\d\d MiB", failure)
