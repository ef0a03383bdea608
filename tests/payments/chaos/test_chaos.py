"""The bench `chaos` in small, with the same code: everything goes wrong, workers are killed, and every sum is right in the end."""

import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from pytest_django import DjangoDbBlocker

from tests.payments.chaos.run import NOTIFICATION_FAULTS, QUICK, REQUEST_FAULTS, Pace, new_run
from tests.payments.chaos.stage import Stage, set_up
from tests.payments.chaos.verdict import judge
from tests.processes import committed_queue

PAYMENTS, CAFETERIAS, SEED = 150, 3, 3
PACE = Pace(seconds=240, kill_every=(2, 5), most_kills=6, buyers=2, hurry=4)


@pytest.fixture
def stage(tmp_path: Path, django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> Iterator[Stage]:
    with django_db_blocker.unblock(), committed_queue(), set_up(tmp_path, cafeterias=CAFETERIAS, rng=random.Random(SEED), **QUICK) as stage:
        yield stage


def test_all_is_paid_and_given_back_once_whatever_happens(stage: Stage) -> None:
    run = new_run(stage, PACE, payments=PAYMENTS, rng=random.Random(SEED))
    run.perform()
    verdict = judge(run)
    assert verdict.holds, "\n".join([*(f"{row.what}: {row.found!r}, not {row.expected!r}" for row in verdict.rows), *verdict.examples])
    happened = {f"delivery {fault['kind']}" for fault in NOTIFICATION_FAULTS} | {f"request {fault['kind']}" for fault in REQUEST_FAULTS}
    assert {what for what in happened if not run.seen[what]} == set()
    assert stage.workers.kills > 2
