"""Where the chaos happens: cafeterias with accounts, the emulator, the web server and the workers, each a process that may be killed."""

import os
import random
import signal
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from subprocess import Popen
from typing import Any

import psutil
from django.db import connection, transaction
from django.test.utils import override_settings

from core.alerts.models import Alert
from core.jobs.models import Job
from payments.inbox.models import Notification
from payments.ledger.models import Charge, LedgerEntry, Payment, Refund
from payments.sellers.models import Seller
from shop.menu.models import Product
from tenants.pulse import bump_menu
from tenants.scope import tenant_scope
from tests.emulator.process import Emulator, running_emulator
from tests.payments.application import NAMES, connected, environment_of
from tests.payments.till import Till
from tests.processes import UNMEASURED, manage
from tests.servers import running_web
from tests.world import Place, build_world, drop_world, unique_slugs

# Every step of every order, and each look of reconciliation, is noted by the database itself: nothing passes between two samples.
NOTES = """
CREATE TABLE public.chaos_note (order_key text, what text, before text, after text, at timestamptz DEFAULT clock_timestamp(),
    backend int DEFAULT pg_backend_pid());
CREATE FUNCTION public.chaos_order() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    INSERT INTO public.chaos_note VALUES (NEW.secret, 'step', OLD.payment_status, NEW.payment_status); RETURN NULL;
END $$;
CREATE FUNCTION public.chaos_payment() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    IF NEW.checks > OLD.checks THEN
        INSERT INTO public.chaos_note VALUES (NEW.order_key, 'claim');
    ELSIF NEW.check_failures = 0 AND NEW.status = OLD.status THEN  -- a status that moves its next look is none
        INSERT INTO public.chaos_note VALUES (NEW.order_key, 'look');
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER chaos_payment AFTER UPDATE OF next_check_at ON public.payments_payment FOR EACH ROW EXECUTE FUNCTION public.chaos_payment();
"""
NOTE_ORDERS = """CREATE TRIGGER chaos_order AFTER UPDATE OF payment_status ON "{schema}".shop_order FOR EACH ROW
    WHEN (OLD.payment_status IS DISTINCT FROM NEW.payment_status) EXECUTE FUNCTION public.chaos_order()"""
FORGET = """
DROP TRIGGER IF EXISTS chaos_payment ON public.payments_payment;
DROP FUNCTION IF EXISTS public.chaos_payment(), public.chaos_order() CASCADE;
DROP TABLE IF EXISTS public.chaos_note;
"""


@dataclass(kw_only=True)
class Workers:
    """A cluster for each queue, started again when it has died, as the supervisor of `make run` does."""

    folder: Path
    environment: dict[str, str]
    kills: int = 0
    restarts: int = 0
    _running: dict[str, tuple[ExitStack, "Popen[bytes]"]] = field(default_factory=dict)

    def keep(self) -> None:
        for queue in ("short", "long"):
            held = self._running.get(queue)
            if held is not None and held[1].poll() is None:
                continue
            if held is not None:
                held[0].close()
                self.restarts += 1
            stack = ExitStack()
            self._running[queue] = (
                stack,
                stack.enter_context(manage("worker", queue, data_folder=self.folder, **self.environment)),
            )

    def kill(self, rng: random.Random) -> None:
        """SIGKILL to a whole cluster, or to one process of it."""
        process = self._running[rng.choice(["short", "short", "long"])][1]
        with suppress(psutil.Error, ProcessLookupError):
            children = psutil.Process(process.pid).children(recursive=True)
            if children and rng.random() < 0.5:
                rng.choice(children).kill()
            else:
                os.killpg(process.pid, signal.SIGKILL)
            self.kills += 1

    def stop(self) -> None:
        for stack, _ in self._running.values():
            stack.close()


@dataclass(kw_only=True)
class Stage:
    tills: list[Till]
    emulator: Emulator
    workers: Workers
    folder: Path


@contextmanager
def set_up(folder: Path, *, cafeterias: int, rng: random.Random, **environment: str) -> Iterator[Stage]:
    """Everything running, nobody buying yet. Afterwards nothing of it is left, in the database neither."""
    with ExitStack() as stack:
        emulator = stack.enter_context(running_emulator(folder))
        theirs = environment_of(emulator)
        places = stack.enter_context(opened(cafeterias))
        settings = {name: theirs[name] for name in (*NAMES, "MERCADOPAGO_URL", "MERCADOPAGO_AUTH_URL")}
        quiet: dict[str, Any] = {"LOG_LEVEL": "WARNING", **UNMEASURED, **theirs, **environment}
        port = stack.enter_context(running_web(folder, **quiet))
        # Notifications come straight to the web process's own port.
        stack.enter_context(override_settings(**settings, PUBLIC_PORT=port))
        tills = [Till(place=place, emulator=emulator, seller=connected(emulator, place.ref.uuid)) for place in places]
        for till in tills:
            price(till, rng)
        workers = Workers(folder=folder, environment=quiet)
        stack.callback(workers.stop)
        # A worker that is killed while it waits for work takes the queue's lock with it: its cluster does nothing until it is restarted.
        stack.enter_context(manage("watchdog", "--restart", "--pause=2", data_folder=folder, **quiet))
        yield Stage(tills=tills, emulator=emulator, workers=workers, folder=folder)


@contextmanager
def opened(count: int) -> Iterator[list[Place]]:
    """So many cafeterias whose steps are noted."""
    worlds = [build_world(*unique_slugs()) for _ in range((count + 1) // 2)]
    places = [place for world in worlds for place in (world.a, world.b)][:count]
    try:
        with connection.cursor() as cursor:
            cursor.execute(FORGET + NOTES)
            for place in places:
                cursor.execute(NOTE_ORDERS.format(schema=place.ref.schema_name))
        yield places
    finally:
        with connection.cursor() as cursor:
            cursor.execute(FORGET)
        forget_money(places)
        for world in worlds:
            drop_world(world)


def price(till: Till, rng: random.Random) -> None:
    """Not a round one: sums that are wrong by a cent show."""
    with tenant_scope(till.place.ref):
        Product.objects.filter(pk=till.place.coffee).update(price=Decimal(rng.randrange(50_000, 400_000)) / 100)
        bump_menu()


def forget_money(places: Sequence[Place]) -> None:
    uuids = [place.ref.uuid for place in places]
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL session_replication_role = replica")  # The ledger lets nobody erase it.
        for model in (LedgerEntry, Refund, Charge, Payment, Notification, Seller, Job, Alert):
            cursor.execute(f"DELETE FROM public.{model._meta.db_table} WHERE cafeteria_uuid = ANY(%s::uuid[])", [uuids])
    Alert.objects.filter(kind__startswith="payments.").delete()
