"""Django's settings. Everything that differs between machines comes from the environment (config.env)."""

from datetime import timedelta
from pathlib import Path

from django.core.exceptions import ImproperlyConfigured
from django.utils.translation import gettext_lazy as _
from whitenoise.compress import Compressor

from config import env
from config.logging import configure_logging
from config.sentry import configure_sentry
from core.money import DECIMALS
from core.vault import check_keys

REPOSITORY = Path(__file__).resolve().parents[2]

# --- Where this copy runs -------------------------------------------------------------------------------------------------
COMANDA_ENV = env.text("COMANDA_ENV", "development")
if COMANDA_ENV not in {"development", "staging", "production"}:
    raise ImproperlyConfigured(f"COMANDA_ENV is {COMANDA_ENV!r}. Set it to development, staging or production.")
DEVELOPMENT = COMANDA_ENV == "development"
PRODUCTION = COMANDA_ENV == "production"  # staging is the same, but for where its money and its files go: no real money, its own network
DEBUG = False  # Errors look in development as they do in production; the traceback is in the log.
RELEASE = env.text("COMANDA_RELEASE", "unreleased")

DATA_FOLDER = env.path("COMANDA_DATA", REPOSITORY / ".data")
SECRET_KEY = env.required("SECRET_KEY", hint="Set it to 50 or more random characters, the same on every machine.")
if not DEVELOPMENT and len(SECRET_KEY) < 50:
    raise ImproperlyConfigured("SECRET_KEY is too short to be safe. Set it to 50 or more random characters.")
SECRET_KEY_FALLBACKS = env.words("SECRET_KEY_FALLBACKS")
VAULT_KEYS = check_keys(env.words("VAULT_KEYS"))  # They encrypt the cafeterias' tokens: never keep them beside the database.

PUBLIC_SCHEME, BASE_DOMAIN, PUBLIC_PORT = env.web_address(
    "PUBLIC_URL", hint="Set it to the platform's own address, for example https://comanda.example or http://localhost:8000."
)
PLATFORM_URL = f"{PUBLIC_SCHEME}://{BASE_DOMAIN}{f':{PUBLIC_PORT}' if PUBLIC_PORT else ''}"
HTTPS = PUBLIC_SCHEME == "https"
if not DEVELOPMENT and not HTTPS:
    raise ImproperlyConfigured("PUBLIC_URL is not https. People's sign-ins and payments need https outside development.")
TRUSTED_PROXIES = env.integer("TRUSTED_PROXIES", 0)  # How many proxies in front add to X-Forwarded-For.
# Where they are: what another address says of whom it forwards counts for nothing.
TRUSTED_PROXY_NETWORKS = env.networks("TRUSTED_PROXY_NETWORKS") or [
    *("127.0.0.0/8", "::1/128", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7"),
]
WEB_THREADS = env.integer("WEB_THREADS", 1, least=1)  # of each web process, as its server was told

# --- Applications ---------------------------------------------------------------------------------------------------------
SHARED_APPS = [
    "tenants",  # Before django_tenants: its commands, which would make a cafeteria's tables in public, are replaced by ours.
    "django_tenants",
    "django.contrib.contenttypes",  # django-tenants' database backend imports its model; nothing of ours uses it.
    "django.contrib.postgres",  # Lists as columns: tags and allergens.
    "django.contrib.staticfiles",
    "django_q",
    "django_htmx",
    "corsheaders",
    "ninja",
    "core",
    "accounts",
    "payments",
    "billing",
    "ops",
    "config",
]
TENANT_APPS = ["shop"]
INSTALLED_APPS = [*SHARED_APPS, *TENANT_APPS]
TENANT_MODEL = "tenants.Cafeteria"
TENANT_DOMAIN_MODEL = "tenants.Domain"
DATABASE_ROUTERS = ["django_tenants.routers.TenantSyncRouter"]
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

MIDDLEWARE = [
    "core.middleware.RequestMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "core.cors.LeanCorsMiddleware",
    "tenants.admission.AdmissionMiddleware",
    "tenants.middleware.TenantMiddleware",
    "core.page_middleware.PageMiddleware",
    "shop.people.copies.CopyMiddleware",
]
ROOT_URLCONF = "config.urls_tenant"
PUBLIC_URLCONF = "config.urls_public"
WSGI_APPLICATION = "config.wsgi.application"
APPEND_SLASH = False

# --- Database -------------------------------------------------------------------------------------------------------------
DATABASE_HINT = "Set it to postgresql://user:password@host:5432/name, or use `make run`, which brings its own PostgreSQL."
DATABASE_PASSWORD = env.text("DATABASE_PASSWORD")  # for addresses without one
DATABASES = {
    "default": {
        **env.database("DATABASE_URL", hint=DATABASE_HINT, password=DATABASE_PASSWORD),
        "ENGINE": "tenants.backend",
        # A backend's catalogue caches grow with each cafeteria that it visits and never shrink: bound its life.
        "CONN_MAX_AGE": env.integer("CONN_MAX_AGE", 120),
        "CONN_HEALTH_CHECKS": False,
        # A transaction pooler may sit in front.
        "DISABLE_SERVER_SIDE_CURSORS": True,
        "ATOMIC_REQUESTS": False,  # Scopes are the transactions: tenants.scope, decision 0002.
        "TEST": {"NAME": env.text("TEST_DATABASE_NAME", "comanda_test")},
    },
}
# Session locks, LISTEN and migrations go past the pooler.
DATABASE_DIRECT_URL = env.with_password("DATABASE_DIRECT_URL", DATABASE_PASSWORD)

# --- People ---------------------------------------------------------------------------------------------------------------
PASSWORD_HASHERS = ["core.passwords.Argon2PasswordHasher"]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 8}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
    {"NAME": "core.passwords.MaximumLengthValidator"},
    {"NAME": "core.passwords.NotTheEmailValidator"},
]
ACCESS_TOKEN_LIFE = timedelta(minutes=env.integer("ACCESS_TOKEN_MINUTES", 30, least=1))
ADMIN_SESSION_LIFE = timedelta(hours=env.integer("ADMIN_SESSION_HOURS", 12, least=1))  # of the platform's admins, not prolonged by use
ADMIN_SECOND_FACTOR = env.boolean("ADMIN_SECOND_FACTOR", default=not DEVELOPMENT)  # Whether admins must have one before the console opens.
REFRESH_TOKEN_LIFE = timedelta(days=env.integer("REFRESH_TOKEN_DAYS", 30, least=1))

# --- Cookies: host-only, never on the parent domain ---------------------------------------------------------------------
COOKIE_PREFIX = "__Host-" if HTTPS else ""
SESSION_ENGINE = "core.sessions"
SESSION_COOKIE_NAME = f"{COOKIE_PREFIX}comanda"
SESSION_COOKIE_AGE = 30 * 24 * 3600
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = "Lax"
SESSION_COOKIE_SECURE = HTTPS
LANGUAGE_COOKIE_NAME = "lang"
CSRF_USE_SESSIONS = True
CSRF_FAILURE_VIEW = "core.error_pages.csrf_failed"
CSRF_TRUSTED_ORIGINS: list[str] = []
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if TRUSTED_PROXIES else None
ALLOWED_HOSTS = ["*"]  # The hosts are rows: tenants.middleware answers 404 to every other one.

CORS_ALLOWED_ORIGINS = env.words("CORS_ALLOWED_ORIGINS") or (["http://localhost:3000", "http://localhost:5173"] if DEVELOPMENT else [])
CORS_URLS_REGEX = r"^/(api/|health)"
CORS_ALLOW_HEADERS = ["accept", "authorization", "content-type", "idempotency-key", "if-none-match", "x-requested-with"]
CORS_EXPOSE_HEADERS = ["etag", "x-request-id", "retry-after"]

# --- Limits ---------------------------------------------------------------------------------------------------------------
DATA_UPLOAD_MAX_MEMORY_SIZE = 1024 * 1024
FILE_UPLOAD_MAX_MEMORY_SIZE = 1024 * 1024
IMAGE_MAX_BYTES = 8 * 1024 * 1024
MENU_CSV_MAX_BYTES = 1024 * 1024
# How busy one web process may be, of 100, before those who use more than their share of it are asked to wait.
FAIR_SHARE_PERCENT = env.integer("FAIR_SHARE_PERCENT", 35)  # 0: nobody is
REQUESTS_PER_ADDRESS = env.integer("REQUESTS_PER_ADDRESS", 100, least=1)  # A second, in each web process, of people who are not signed in.
LOGIN_FAILURES_PER_ACCOUNT = env.integer("LOGIN_FAILURES_PER_ACCOUNT", 10, least=1)
LOGIN_FAILURES_PER_ADDRESS = env.integer("LOGIN_FAILURES_PER_ADDRESS", 200, least=1)
LOGIN_FAILURE_WINDOW = timedelta(minutes=15)

# --- Pages ----------------------------------------------------------------------------------------------------------------
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "core.context.page",
                "shop.money.context.money",
                "shop.people.context.support",
            ],
            "builtins": ["core.templatetags.comanda", "django.templatetags.i18n", "django.templatetags.static"],
        },
    }
]
DEMO_CAFETERIA = env.text("DEMO_CAFETERIA", "la-espiga" if DEVELOPMENT else "")  # What the landing page shows; none without.
LANGUAGE_CODE = "es"
LANGUAGES = [("es", _("Spanish")), ("en", _("English"))]
USE_I18N = True
USE_TZ = True
TIME_ZONE = "UTC"

STATIC_URL = "/static/"
STATIC_ROOT = env.path("STATIC_ROOT", DATA_FOLDER / "static")
MEDIA_URL = "/media/"
MEDIA_ROOT = DATA_FOLDER / "media"
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "whitenoise.storage.CompressedManifestStaticFilesStorage"},
}
WHITENOISE_KEEP_ONLY_HASHED_FILES = True  # Nobody asks for the others, and compressing them takes as long again.
WHITENOISE_SKIP_COMPRESS_EXTENSIONS = (*Compressor.SKIP_COMPRESS_EXTENSIONS, "map")  # Large, and only for debuggers.

# Each process keeps what it draws in its own memory; with CACHE_URL, all of them share what any of them has drawn (decision 0023).
CACHE_URL = env.cache_server("CACHE_URL", password=env.text("CACHE_PASSWORD"))
if CACHE_URL and RELEASE == "unreleased":
    raise ImproperlyConfigured(
        "CACHE_URL is set without COMANDA_RELEASE. Set it to the commit: one release must not show what another has drawn."
    )
CACHES = {
    "default": {
        "BACKEND": "core.shared_cache.SharedCache" if CACHE_URL else "django.core.cache.backends.dummy.DummyCache",
        "LOCATION": CACHE_URL,
        "KEY_PREFIX": RELEASE,
        "KEY_FUNCTION": "django_tenants.cache.make_key",
    }
}

# --- Cafeterias: what tenants, which stands below shop, calls by name --------------------------------------------------------
# In the new cafeteria's scope, with email, full_name, platform_user_id.
CAFETERIA_OPENED = ["shop.people.actions.admit_owner", "billing.actions.begin_trial"]
CAFETERIA_CLOSED = ["ops.backups.final.ask_for_final_backup"]  # In the transaction that closes it, with the row.
CAFETERIA_BEFORE_DROP = ["ops.backups.final.check_final_backup"]  # Outside of every transaction; what raises keeps the schema.
# What makes a copy of a cafeteria harmless: dotted names, called in its schema with (with_staff).
CAFETERIA_COPIED = ["shop.people.actions.lock_copied_people", "shop.orders.payments.actions.part_copied_orders"]
CAFETERIA_PLANS = "billing.queries.plan_lines"  # What accounts, which stands below billing, shows on the owner's home.
CAFETERIA_HAS_ORDERS = "shop.orders.queries.has_orders"
PLATFORM_FEE_PERCENT = env.amount("PLATFORM_FEE_PERCENT", "0")  # Of each online payment, kept by the platform.
PAYMENT_ORDERS = "shop.orders.payments.actions"  # A module: payments.ledger.data.OrderBook.
PAYMENT_MINUTES = env.integer("PAYMENT_MINUTES", 30, least=5)  # How long an order waits to be paid online.
# Of what the platform's own account is told, by topic.
NOTIFICATION_HANDLERS: dict[str, str] = {
    "subscription_preapproval": "billing.looking.note_change",
    "subscription_authorized_payment": "billing.looking.note_change",
}
PLATFORM_CURRENCY = env.text("PLATFORM_CURRENCY", "ARS")  # Of the plans' prices: that of the platform's own account.
BILLING_ENFORCED = env.boolean("BILLING_ENFORCED", default=not DEVELOPMENT)  # Whether a cafeteria that does not pay is suspended.
CLOSED_KEEP_DAYS = env.integer("CLOSED_KEEP_DAYS", 30)  # How long a closed cafeteria's schema is kept.

# --- Backups ----------------------------------------------------------------------------------------------------------------
BACKUP_KEYS = env.words("BACKUP_KEYS")  # age identities, the newest first. Never keep them beside the backups.
BACKUP_FOLDER = env.path("BACKUP_FOLDER", DATA_FOLDER / "backups")
BACKUP_MEDIA = "shop.menu.pictures.queries.picture_keys"  # Which files belong to a cafeteria's rows.
# Off-site: any S3, when S3_BUCKET is set. It holds only what is encrypted with BACKUP_KEYS.
S3_BUCKET, S3_PREFIX = env.bucket("S3_BUCKET"), env.text("S3_PREFIX").strip("/")
S3_ENDPOINT = env.storage_address("S3_ENDPOINT", plain_anywhere=not PRODUCTION)  # empty: Amazon's
S3_REGION = env.text("S3_REGION") or "us-east-1"
S3_ACCESS_KEY, S3_SECRET_KEY = env.text("S3_ACCESS_KEY"), env.text("S3_SECRET_KEY")
if S3_BUCKET and not (S3_ACCESS_KEY and S3_SECRET_KEY):
    raise ImproperlyConfigured("S3_BUCKET is set without S3_ACCESS_KEY and S3_SECRET_KEY. Set all three, or none.")
BACKUP_LOCAL_DAYS = env.integer("BACKUP_LOCAL_DAYS", 7, least=1)  # How long a backup that is off-site stays here as well.
RESTORE_MAX_BYTES = env.integer("RESTORE_MAX_GIB", 64, least=1) * 1024**3  # What a bundle may come to, unpacked.
# The whole cluster's archive, for any moment of the last days: base backups and PostgreSQL's log, kept by `manage.py archive`.
ARCHIVE_FOLDER = env.path("ARCHIVE_FOLDER", DATA_FOLDER / "archive")
ARCHIVE_DATABASE_URL = env.text("ARCHIVE_DATABASE_URL")  # A role that may replicate; empty: the database's own, past its pooler.
ARCHIVE_SLOT = env.text("ARCHIVE_SLOT", "comanda_archive")
ARCHIVE_DAYS = env.integer("ARCHIVE_DAYS", 7, least=1)  # How far back any moment can be had.
ARCHIVE_FULL_DAYS = env.integer("ARCHIVE_FULL_DAYS", 7, least=1)  # Between full base backups,
ARCHIVE_BASE_HOURS = env.integer("ARCHIVE_BASE_HOURS", 6, least=1)  # and between incremental ones.
ARCHIVE_SHIP_SECONDS = env.integer("ARCHIVE_SHIP_SECONDS", 30, least=1)  # Between two copies of the log off-site.

# --- Mercado Pago -----------------------------------------------------------------------------------------------------------
MERCADOPAGO_URL = env.text("MERCADOPAGO_URL", "https://api.mercadopago.com").rstrip("/")
MERCADOPAGO_AUTH_URL = env.text("MERCADOPAGO_AUTH_URL", "https://auth.mercadopago.com").rstrip("/")
if PRODUCTION and (MERCADOPAGO_URL, MERCADOPAGO_AUTH_URL) != ("https://api.mercadopago.com", "https://auth.mercadopago.com"):
    raise ImproperlyConfigured(
        "MERCADOPAGO_URL and MERCADOPAGO_AUTH_URL are for development and staging. Unset them: production talks to Mercado Pago."
    )
MERCADOPAGO_CLIENT_ID = env.text("MERCADOPAGO_CLIENT_ID")  # The platform's application; without one no account can be connected.
MERCADOPAGO_CLIENT_SECRET = env.text("MERCADOPAGO_CLIENT_SECRET")
MERCADOPAGO_WEBHOOK_SECRET = env.text("MERCADOPAGO_WEBHOOK_SECRET")
MERCADOPAGO_ACCESS_TOKEN = env.text("MERCADOPAGO_ACCESS_TOKEN")  # The platform's own account.
# Opens the control API of the stand-in that `make run` starts: new cafeterias are connected to it.
MERCADOPAGO_EMULATOR_KEY = env.text("MERCADOPAGO_EMULATOR_KEY") if DEVELOPMENT else ""
if MERCADOPAGO_EMULATOR_KEY:
    CAFETERIA_OPENED.append("config.demo.sellers.connect_test_seller")
if PLATFORM_CURRENCY not in DECIMALS:
    raise ImproperlyConfigured(f"PLATFORM_CURRENCY is {PLATFORM_CURRENCY!r}. Set it to one of {', '.join(sorted(DECIMALS))}.")
if PLATFORM_FEE_PERCENT >= 100:
    raise ImproperlyConfigured("PLATFORM_FEE_PERCENT is 100 or more. Set it to a number such as 2.5.")
# Where a form may be sent on to, beside this platform: Mercado Pago's pages for sellers and for buyers, of each country.
MERCADOPAGO_COUNTRIES = ["com", "com.ar", "com.br", "cl", "com.co", "com.mx", "com.pe", "com.uy"]
FORM_TARGETS = [MERCADOPAGO_AUTH_URL, *(f"https://www.mercadopago.{country}" for country in MERCADOPAGO_COUNTRIES)]

# --- Jobs: figures from the facts on django-q2 -----------------------------------------------------------------------------
Q_CLUSTER = {
    "name": "short",
    "orm": "default",
    "workers": 2,
    "queue_limit": 2,
    "timeout": 60,
    "retry": 240,
    "ack_failures": True,
    "max_attempts": 1,
    "catch_up": False,
    "poll": 0.5,
    "save_limit": -1,  # Successes are in our own rows.
    "label": "Comanda jobs",
    "ALT_CLUSTERS": {
        "long": {
            "workers": 1,
            "queue_limit": 1,
            "timeout": 3600,
            "retry": 10900,
            "ack_failures": True,
            "max_attempts": 1,
            "catch_up": False,
            "scheduler": False,
        },
    },
}
# core cannot import tenants: how a job finds its cafeteria when it runs, and whose it is when it is added.
JOB_SCOPE = "tenants.job_scope.scope_for_job"
JOB_TENANT = "tenants.job_scope.current_cafeteria_uuid"
JOB_LEASE_SECONDS = env.integer("JOB_LEASE_SECONDS", 90, least=1)  # Without a heartbeat for so long, its worker is dead.
JOB_HEARTBEAT_SECONDS = env.integer("JOB_HEARTBEAT_SECONDS", 10, least=1)
JOB_PROGRESS_SECONDS = 1
JOB_RETRY_SECONDS = env.integer("JOB_RETRY_SECONDS", 15)  # Before the second attempt; doubles with each one.
JOB_REWAKE_SECONDS = env.integer("JOB_REWAKE_SECONDS", 30)  # A due job that waits so long may have lost its wake-up.
JOB_STOP_SECONDS = env.integer("JOB_STOP_SECONDS", 8)  # How long a stopping worker waits for its running jobs.
JOB_KEEP_DAYS = env.integer("JOB_KEEP_DAYS", 30, least=1)
JOB_BEAT_SECONDS = env.integer("JOB_BEAT_SECONDS", 15, least=1)  # How often a cluster is asked for a sign of life.
JOB_STALL_SECONDS = env.integer("JOB_STALL_SECONDS", 120, least=1)  # A question unanswered for so long: the cluster has stalled.
JOB_LATE_SECONDS = {"short": 300, "long": 2 * 3600}  # A due job that waits longer is worth an alarm.
# {"a.b.jobs.name": {"every": seconds, a multiple of 60, "queue": "short"}}; with "every": 86400 also "at": "HH:MM", in UTC.
PERIODIC_JOBS: dict[str, dict[str, int | str]] = {
    "payments.sellers.jobs.refresh_tokens": {"every": 3600, "queue": "long"},
    "payments.sellers.jobs.look_over_vault": {"every": 900, "queue": "short"},
    "payments.reconciliation.jobs.check_payments": {"every": 60, "queue": "short"},
    "payments.reconciliation.jobs.sweep": {"every": 86400, "at": "09:00", "queue": "long"},
    "payments.reconciliation.jobs.state_days": {"every": 86400, "at": "13:00", "queue": "long"},
    "ops.backups.jobs.tick": {"every": 60, "queue": "short"},
    "ops.backups.offsite.jobs.tidy": {"every": 3600, "queue": "long"},
    "ops.backups.offsite.jobs.check": {"every": 86400, "at": "05:00", "queue": "long"},
    "ops.backups.jobs.prove": {"every": 86400, "at": "06:00", "queue": "long"},
    "ops.restores.jobs.sweep": {"every": 3600, "queue": "long"},
    "billing.jobs.check_subscriptions": {"every": 3600, "queue": "long"},
    "billing.jobs.apply_policy": {"every": 3600, "queue": "long"},
    "shop.money.books.jobs.check_money": {"every": 86400, "at": "07:30", "queue": "long"},
    "payments.inbox.jobs.prune": {"every": 86400, "at": "08:30", "queue": "short"},
    "core.alerts.jobs.prune": {"every": 86400, "at": "08:40", "queue": "short"},
    "ops.certificates.jobs.check": {"every": 21600, "queue": "long"},
    "core.notices.jobs.look": {"every": 60, "queue": "short"},
    "core.notices.jobs.prune": {"every": 86400, "at": "08:50", "queue": "short"},
}

# --- Mail, and what operators are told ----------------------------------------------------------------------------------------
EMAIL_URL = env.text("EMAIL_URL")
MAIL_ENABLED = DEVELOPMENT or bool(EMAIL_URL)  # In development mails are files of the data folder, unless there is a server.
MAILERS = {
    "default": env.mail_server("EMAIL_URL", plain_anywhere=DEVELOPMENT)
    or {"BACKEND": "core.mail.FileBackend", "OPTIONS": {"folder": DATA_FOLDER / "mail"}}
}
MAIL_FROM = env.text("MAIL_FROM") or f"Comanda <no-reply@{BASE_DOMAIN}>"
OPS_EMAILS = env.words("OPS_EMAILS")
SLACK_WEBHOOK_URL = env.webhook_address("SLACK_WEBHOOK_URL", plain=DEVELOPMENT)  # A secret: whoever has it can write there.
if OPS_EMAILS and not MAIL_ENABLED:
    raise ImproperlyConfigured("OPS_EMAILS is set without EMAIL_URL. Set both, or neither.")
RUNBOOKS_URL = env.text("RUNBOOKS_URL").rstrip("/")  # Where docs/runbooks can be read; empty: messages name the file.
CAFETERIA_SLUGS = "tenants.queries.slugs_of"  # What core, which stands below tenants, names cafeterias by.

# --- Watching -------------------------------------------------------------------------------------------------------------
METRICS_TOKEN = env.text("METRICS_TOKEN")  # Without one, /metrics answers this machine only.
METRICS_KEPT_SECONDS = env.integer("METRICS_KEPT_SECONDS", 60)  # What is dear to measure is measured so often, sizes a fifth as often.
LOG_REQUESTS = env.boolean("LOG_REQUESTS", default=not DEVELOPMENT)
LOGGING_CONFIG = None
configure_logging(json_lines=env.text("LOG_FORMAT", "text" if DEVELOPMENT else "json") == "json", level=env.text("LOG_LEVEL", "INFO"))
configure_sentry(dsn=env.text("SENTRY_DSN"), environment=COMANDA_ENV, release=RELEASE)

USE_X_FORWARDED_HOST = False
SECURE_CONTENT_TYPE_NOSNIFF = True
TEST_RUNNER = "django.test.runner.DiscoverRunner"
SILENCED_SYSTEM_CHECKS: list[str] = []
