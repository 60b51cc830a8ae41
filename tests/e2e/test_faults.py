"""A short form of `make faults`: one send, one seed, everything going wrong."""

import os

import pytest

from tests.e2e import faults

PEOPLE, FAULTS = 1500, 7


@pytest.mark.stack
@pytest.mark.timeout(900)
def test_whatever_breaks_everybody_is_shown_the_message_once(tmp_path, capsys):
    seed = int(os.environ.get("FAULTS_SEED", "1"))
    postgres = os.environ.get("TEST_DATABASE") == "postgres"
    stack = ("postgres", "redis") if postgres else ("sqlite", "folder")
    with capsys.disabled():
        print(f"\nFAULTS_SEED={seed} {' '.join(stack)}")

    faults.run(seed, *stack, PEOPLE, FAULTS, tmp_path)
