"""One cafeteria's migration with its retries. Whatever goes wrong with it ends here, as an outcome."""

import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

from django.db import DatabaseError, InterfaceError, connection

from tenants.fleet.recipes import AheadOfCode, DoneElsewhere, Occupied, mark_failed
from tenants.models import Cafeteria

ATTEMPTS = 6
PASSING = {"55P03", "40P01"}  # lock_not_available, deadlock_detected
LOST = {"57P01", "57P02", "57P03"}  # the server ends the connection; so does a missing code


class Result(Enum):
    DONE = "done"
    ELSEWHERE = "elsewhere"
    AHEAD = "ahead"
    FAILED = "failed"


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    cafeteria: Cafeteria
    result: Result
    error: str = ""


def attempt(cafeteria: Cafeteria, migrate: Callable[[bool], object], *, target: str, pause: float = 0.3) -> Outcome:
    """Run `migrate`, again after a lock that was not given and a connection that was lost. A failure is on the status row.

    `migrate` is told whether to be patient with locks: in the second half of the attempts. `pause` in seconds before the second one; it
    doubles, with jitter.
    """
    for number in range(ATTEMPTS):
        try:
            migrate(number >= ATTEMPTS // 2)
        except DoneElsewhere:
            return Outcome(cafeteria=cafeteria, result=Result.ELSEWHERE)
        except AheadOfCode:
            return Outcome(cafeteria=cafeteria, result=Result.AHEAD)
        except Exception as error:  # noqa: BLE001 - a broken cafeteria must not stop the others
            if not may_pass(error) or number == ATTEMPTS - 1:
                return failed(cafeteria, target=target, error=error)
        else:
            return Outcome(cafeteria=cafeteria, result=Result.DONE)
        time.sleep(pause * 2**number * random.uniform(0.5, 1.5))  # noqa: S311 - only to keep two from meeting again
    raise AssertionError


def may_pass(error: Exception) -> bool:
    if isinstance(error, Occupied):
        return True
    if not isinstance(error, DatabaseError | InterfaceError):
        return False
    code = getattr(error.__cause__, "pgcode", None)
    if code is None or code in LOST:
        connection.close()
        return True
    return code in PASSING


def failed(cafeteria: Cafeteria, *, target: str, error: Exception) -> Outcome:
    text = " ".join(str(error).split()) or "Another process has been at work on it for too long."
    mark_failed(cafeteria, target=target, error=text)
    return Outcome(cafeteria=cafeteria, result=Result.FAILED, error=text)
