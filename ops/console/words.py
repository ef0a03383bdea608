"""What the console calls things: jobs, alerts, tables, steps and entries of the audit, in words for people."""

from collections.abc import Mapping
from dataclasses import dataclass

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

type Words = str | Promise


@dataclass(frozen=True, kw_only=True)
class Trouble:
    """A kind of alert, as whoever is woken by it reads it."""

    title: Words
    remedy: Words  # what to do


OTHER_TROUBLE = _("Read the detail and the newest failed jobs. The runbooks are in docs/runbooks.")

OFFSITE_REMEDY = _("Check S3_ENDPOINT, the keys and the space there. Copies go on by themselves once it answers.")
BASE_REMEDY = _(
    "Read the log of its process, the container archive in production; look at the space on its disk and at PostgreSQL's settings. "
    "Each restore of a moment takes longer meanwhile."
)
TROUBLES: Mapping[str, Trouble] = {
    "backups.not_set_up": Trouble(
        title=_("Nothing is backed up"),
        remedy=_("Make a key with manage.py new_backup_key, set BACKUP_KEYS on every machine, and start web and workers again."),
    ),
    "backups.too_old": Trouble(
        title=_("A cafeteria's backup is too old"),
        remedy=_("Open the cafeteria and back it up now. When that fails, its job says why: a full disk, a missing key."),
    ),
    "backups.proof_failed": Trouble(
        title=_("A backup failed its proof"),
        remedy=_("Back the cafeteria up now and prove the new backup. Do not restore from the one that failed."),
    ),
    "backups.media_missing": Trouble(
        title=_("Pictures are missing in a backup"),
        remedy=_("The picture files are gone from the storage. Put them back with a restore of files only, from an older backup."),
    ),
    "backups.local_damaged": Trouble(
        title=_("A backup on this machine is damaged"),
        remedy=_("Its copy off-site is used instead. Look at the disk: it may be failing."),
    ),
    "backups.offsite_damaged": Trouble(
        title=_("A copy off-site is damaged"),
        remedy=_("It is copied again from here. When it comes back, look at the storage and at who may write there."),
    ),
    "backups.offsite": Trouble(
        title=_("Backups do not reach the off-site storage"),
        remedy=OFFSITE_REMEDY,
    ),
    "backups.status": Trouble(
        title=_("Cafeterias are not backed up as they should be"),
        remedy=_("The list of cafeterias shows which. Look at the long queue first: without a worker nothing is backed up."),
    ),
    "restores.not_ended": Trouble(
        title=_("A restore is live, and its money may not be put back"),
        remedy=_("It is tried again every hour. The detail says what is wrong: mend that, then try the newest job of the restore again."),
    ),
    "backups.final_missing": Trouble(
        title=_("A closed cafeteria has no proven last backup"),
        remedy=_("Its data stays until there is one. Open the cafeteria: its job of the last backup says why it failed; let it try again."),
    ),
    "notices.undelivered": Trouble(
        title=_("Operators are not told on one channel"),
        remedy=_("Run manage.py notify_test: it says what the channel answers. What waits goes out when it is back."),
    ),
    "certificates.ending": Trouble(
        title=_("A certificate ends soon"),
        remedy=_("The proxy should have renewed it: its log says why it did not. Look at DNS first."),
    ),
    "certificates.bad": Trouble(
        title=_("A host has no good certificate"),
        remedy=_("Browsers refuse it. Look at the proxy's log, and whether the host's DNS record still leads here."),
    ),
    "archive.stalled": Trouble(
        title=_("The archive of every moment stands still"),
        remedy=_(
            "Its process, the container archive in production, starts again by itself: read in its log why it stopped. "
            "Until it goes on, only backups can be gone back to."
        ),
    ),
    "archive.gap": Trouble(
        title=_("The archive of every moment has a gap"),
        remedy=_("A new full base backup closes it and is taken by itself. Moments within the gap are lost: backups are not."),
    ),
    "archive.base_too_old": Trouble(
        title=_("The newest base backup is too old"),
        remedy=BASE_REMEDY,
    ),
    "archive.base": Trouble(
        title=_("A base backup cannot be taken"),
        remedy=BASE_REMEDY,
    ),
    "archive.offsite": Trouble(
        title=_("The archive does not reach the off-site storage"),
        remedy=OFFSITE_REMEDY,
    ),
    "billing.past_due": Trouble(
        title=_("A plan is not paid"),
        remedy=_("Its owner sees what is due and has a week of grace. Nothing to do here."),
    ),
    "billing.suspended": Trouble(
        title=_("A site is suspended for its plan"),
        remedy=_("It opens by itself as soon as the plan is paid. Call the owner."),
    ),
    "billing.double_charge": Trouble(
        title=_("A plan was charged twice"),
        remedy=_("Refund one of the two at Mercado Pago, from the platform's own account."),
    ),
    "billing.reconciliation": Trouble(
        title=_("Mercado Pago cannot be asked about a plan"),
        remedy=_("It is asked again every hour. When it lasts, check the connection to Mercado Pago."),
    ),
    "payments.day_differs": Trouble(
        title=_("Mercado Pago's day and the books differ"),
        remedy=_("The cafeteria's page of days under Money names each difference."),
    ),
    "payments.needs_reconnect": Trouble(
        title=_("A cafeteria lost its Mercado Pago account"),
        remedy=_("Its owner has to connect again, on the page Payments of the staff. Until then it sells at the counter only."),
    ),
    "vault.keys_unknown": Trouble(
        title=_("The keys that open Mercado Pago's tokens are not there"),
        remedy=_(
            "Put the former key back at the end of VAULT_KEYS in every process: all goes on by itself. "
            "Only when it is lost for good: manage.py rotate_vault_keys --give-up."
        ),
    ),
    "vault.codes_locked": Trouble(
        title=_("Codes of two-step verification cannot be checked"),
        remedy=_(
            "Put the former key back at the end of VAULT_KEYS. When it is lost: recovery codes sign in; "
            "whoever has none needs manage.py reset_two_factor. manage.py rotate_vault_keys --check names them."
        ),
    ),
    "payments.renewal_fails": Trouble(
        title=_("A Mercado Pago token is not renewed"),
        remedy=_("It is tried every hour. When it lasts, the owner should connect again before the token ends."),
    ),
    "payments.review": Trouble(
        title=_("A payment is under review"),
        remedy=_("The cafeteria's owner or manager decides it under Money. Call them when it stays open."),
    ),
    "payments.dispute": Trouble(
        title=_("A buyer disputes a payment"),
        remedy=_("The owner answers it in Mercado Pago before its date. Nothing to do here."),
    ),
    "payments.unknown": Trouble(
        title=_("A payment belongs to nothing we know"),
        remedy=_("Look it up at Mercado Pago by its number. After a lost database it goes back by itself once the order is found."),
    ),
    "payments.order_missing": Trouble(
        title=_("A payment has no order"),
        remedy=_("A restore may have taken the order back: a restore settles it at its end. Otherwise refund it under Money."),
    ),
    "payments.refund_failed": Trouble(
        title=_("A refund was refused"),
        remedy=_("The account may lack money. The owner sees it under Money and sends it again."),
    ),
    "payments.refund_waits": Trouble(
        title=_("A refund has been waiting for long"),
        remedy=_("It is tried again by itself. Look whether Mercado Pago answers and the short queue works."),
    ),
    "payments.reconciliation": Trouble(
        title=_("Mercado Pago cannot be asked"),
        remedy=_("Payments are looked at again every minute. When it lasts, check the connection to Mercado Pago."),
    ),
    "payments.books_differ": Trouble(
        title=_("Orders and ledger differ"),
        remedy=_("Run manage.py check_money for the cafeteria and settle what it names before anything else."),
    ),
    "payments.bad_signature": Trouble(
        title=_("Notifications with a bad signature"),
        remedy=_("Compare MERCADOPAGO_WEBHOOK_SECRET with Mercado Pago's. A few a day are strangers knocking; many are a wrong secret."),
    ),
    "payments.foreign_notification": Trouble(
        title=_("A notification for somebody else"),
        remedy=_("Check which address the application at Mercado Pago notifies."),
    ),
}

JOBS: Mapping[str, Words] = {
    "core.notices.jobs.prune": _("Erase old notices"),
    "ops.certificates.jobs.check": _("Look at the certificates"),
    "accounts.jobs.mail_second_factor_notice": _("Mail what changed about the second factor"),
    "accounts.jobs.mail_reset_link": _("Mail the link to a new password"),
    "shop.people.jobs.mail_reset_link": _("Mail the link to a new password"),
    "accounts.jobs.mail_password_notice": _("Mail that a password has changed"),
    "shop.people.jobs.mail_password_notice": _("Mail that a password has changed"),
    "ops.backups.jobs.backup": _("Back up a cafeteria"),
    "ops.backups.jobs.prove": _("Prove the newest backups"),
    "ops.backups.jobs.prove_one": _("Prove a backup"),
    "ops.backups.jobs.final": _("Take the last backup of a closed cafeteria"),
    "ops.backups.offsite.jobs.copy_media": _("Copy pictures off-site"),
    "billing.jobs.end_preapproval": _("End a subscription at Mercado Pago"),
    "config.demo.jobs.connect_test_seller": _("Connect a test account of Mercado Pago"),
    "payments.ledger.jobs.close_checkout": _("Close a checkout at Mercado Pago"),
    "payments.ledger.jobs.send_refund": _("Send a refund to Mercado Pago"),
    "payments.reconciliation.jobs.state_day": _("Set Mercado Pago's day against the books"),
    "shop.orders.jobs.import_sales": _("Import sales from a file"),
    "ops.backups.jobs.tick": _("See whose backup is due"),
    "ops.backups.offsite.jobs.copy": _("Copy a backup off-site"),
    "ops.backups.offsite.jobs.tidy": _("Tidy up the off-site storage"),
    "ops.backups.offsite.jobs.check": _("Check the off-site storage"),
    "ops.restores.jobs.restore": _("Restore a cafeteria"),
    "ops.restores.jobs.preview": _("Preview a restore"),
    "ops.restores.jobs.undo": _("Undo a restore"),
    "ops.restores.jobs.clone": _("Clone a cafeteria"),
    "ops.restores.jobs.sweep": _("Sweep what restores have left"),
    "tenants.jobs.migrate_fleet": _("Migrate the fleet"),
    "tenants.jobs.close_cafeteria": _("Close a cafeteria"),
    "tenants.jobs.drop_closed_cafeteria": _("Drop the data of a closed cafeteria"),
    "payments.reconciliation.jobs.check_payments": _("Ask Mercado Pago about open payments"),
    "payments.reconciliation.jobs.sweep": _("Go through the payments of the day"),
    "payments.reconciliation.jobs.sweep_account": _("Go through the payments of the day"),
    "payments.reconciliation.jobs.state_days": _("Set Mercado Pago's day against the books"),
    "payments.sellers.jobs.refresh_tokens": _("Renew the tokens of Mercado Pago"),
    "payments.sellers.jobs.look_over_vault": _("Look whether all that is sealed can be opened"),
    "payments.sellers.jobs.mail_owner": _("Mail an owner that Mercado Pago has to be connected again"),
    "payments.inbox.jobs.work_off": _("Work off notifications of Mercado Pago"),
    "core.notices.jobs.look": _("Look for alerts to tell of"),
    "core.notices.jobs.send": _("Tell of alerts"),
    "payments.inbox.jobs.prune": _("Erase old notifications"),
    "core.alerts.jobs.prune": _("Erase old alerts"),
    "billing.jobs.check_subscriptions": _("Look at the subscriptions"),
    "billing.jobs.apply_policy": _("Suspend and resume by plan"),
    "shop.money.books.jobs.check_money": _("Compare orders and ledger"),
}

PARTS: Mapping[str, Words] = {"database": _("the data"), "files": _("the pictures")}

TABLES: Mapping[str, Words] = {  # in the order of who asks
    "shop_order": _("Orders"),
    "shop_orderitem": _("Lines of orders"),
    "shop_orderevent": _("Steps of orders"),
    "shop_product": _("Products"),
    "shop_category": _("Categories"),
    "shop_optiongroup": _("Option groups"),
    "shop_choice": _("Options"),
    "shop_menuimage": _("Pictures"),
    "shop_person": _("People"),
    "shop_personsession": _("Sign-ins"),
    "shop_idempotencykey": _("Keys of the API against doubles"),
    "shop_daycounter": _("Order numbers of the day"),
}

STEPS: Mapping[str, Words] = {  # of backups, restores and copies, as their progress names them
    "look": _("Looking for it"),
    "log": _("Waiting for the log of that moment"),
    "fetch": _("Fetching it from off-site"),
    "media": _("Pictures"),
    "safety copy": _("Taking the safety copy"),
    "migrations": _("Running the newest migrations"),
    "exchange": _("Exchanging the two"),
    "money": _("Putting the money back"),
    "neutralise": _("Making the copy harmless"),
    "combine": _("Putting the base backup together"),
    "replay": _("Replaying the log up to the moment"),
    "pack": _("Packing it"),
    "verify": _("Checking it"),
    "done": pgettext_lazy("job", "done"),
}

ORDER_STATES: Mapping[str, Words] = {
    "pending": pgettext_lazy("order", "new"),
    "confirmed": pgettext_lazy("order", "confirmed"),
    "preparing": pgettext_lazy("order", "being prepared"),
    "ready": pgettext_lazy("order", "ready"),
    "completed": pgettext_lazy("order", "handed over"),
    "cancelled": pgettext_lazy("order", "cancelled"),
}

PAYMENT_STATES: Mapping[str, Words] = {
    "pending": pgettext_lazy("payment", "to be paid"),
    "paid": pgettext_lazy("payment", "paid"),
    "failed": pgettext_lazy("payment", "payment failed"),
    "refunded": pgettext_lazy("payment", "refunded"),
    "partially_refunded": pgettext_lazy("payment", "partly refunded"),
    "review": pgettext_lazy("payment", "under review"),
    "charged_back": pgettext_lazy("payment", "charged back"),
}

MOVEMENTS: Mapping[str, Words] = {
    "payment": pgettext_lazy("ledger", "Payment"),
    "refund": pgettext_lazy("ledger", "Refund"),
    "chargeback": pgettext_lazy("ledger", "Chargeback"),
    "adjustment": pgettext_lazy("ledger", "Adjustment"),
}

METHODS: Mapping[str, Words] = {
    "mercadopago": pgettext_lazy("method", "Mercado Pago"),
    "cash": pgettext_lazy("method", "cash"),
    "card": pgettext_lazy("method", "card at the counter"),
}

DEEDS: Mapping[str, Words] = {  # of the audit
    "cafeteria.opened": _("Opened the cafeteria"),
    "cafeteria.changed": _("Changed its details"),
    "cafeteria.suspended": _("Suspended the site"),
    "cafeteria.resumed": _("Opened the site again"),
    "cafeteria.closed": _("Closed the cafeteria for good"),
    "cafeteria.domain_added": _("Added a domain of its own"),
    "cafeteria.domain_removed": _("Removed a domain of its own"),
    "cafeteria.entered": _("Went in from the platform"),
    "cafeteria.token_issued": _("Took a token for its API"),
    "support.granted": _("Let the platform's support in"),
    "support.ended": _("Ended the support's access"),
    "support.declined": _("Declined the support's question"),
    "support.asked": _("Asked the owner for support access"),
    "support.acted": _("Did something as support"),
    "backup.requested": _("Asked for a backup"),
    "backup.proof_requested": _("Asked for the proof of a backup"),
    "restore.previewed": _("Asked what a restore would change"),
    "restore.started": _("Began a restore"),
    "restore.exchanged": _("The restored data went live"),
    "restore.done": _("The restore ended"),
    "restore.cancelled": _("Stopped a restore"),
    "restore.failed": _("A restore failed; nothing has changed"),
    "restore.undo_requested": _("Asked for the undo of a restore"),
    "restore.undone": _("The restore was undone"),
    "clone.started": _("Began a copy"),
    "clone.done": _("The copy was made"),
    "clone.failed": _("The copy failed"),
    "clone.kept": _("Changed until when the copy is kept"),
    "job.retried": _("Had a job tried again"),
    "job.cancelled": _("Cancelled a job"),
    "alert.resolved": _("Closed an alert"),
    "fleet.migration_requested": _("Had the fleet migrated"),
    "subscription.begun": _("Began to subscribe a plan"),
    "subscription.authorized": _("The subscription was authorised at Mercado Pago"),
    "subscription.paid": _("The plan was paid"),
    "subscription.plan_changed": _("Changed the plan"),
    "subscription.cancelled_by_owner": _("Cancelled the subscription"),
    "payment.taken": _("Took a payment"),
    "payment.refunded": _("Refunded a payment"),
    "payment.sent_back": _("Sent a payment back"),
    "payment.review_accepted": _("Accepted a payment under review"),
    "payment.review_returned": _("Returned a payment under review"),
    "payments.connected": _("Connected Mercado Pago"),
    "payments.disconnected": _("Disconnected Mercado Pago"),
    "payments.needs_reconnect": _("Mercado Pago was lost"),
    "payments.readable_again": _("Mercado Pago works again: its key is back"),
    "person.created": _("Added a person"),
    "person.activated": _("Let a person in again"),
    "person.deactivated": _("Shut a person out"),
    "person.role_set": _("Changed a person's role"),
    "product.created": _("Added a product"),
}


def trouble_of(kind: str) -> Trouble:
    return TROUBLES.get(kind) or Trouble(title=kind, remedy=OTHER_TROUBLE)


def job_words(kind: str) -> Words:
    """In words; a kind that has none is made readable: `a.b.jobs.do_it` is `do it`."""
    return JOBS.get(kind) or kind.rpartition(".")[2].replace("_", " ")


def deed_words(action: str) -> Words:
    return DEEDS.get(action, action)


def step_words(message: str) -> Words:
    """What a job is at: a table, a step, or whatever it says itself."""
    return STEPS.get(message) or TABLES.get(message) or message


def table_words(table: str) -> Words:
    return TABLES.get(table) or table.removeprefix("shop_")
