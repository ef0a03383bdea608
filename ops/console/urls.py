"""On the base domain, for admins."""

from django.urls import path

from ops.console.cafeterias import views as cafeterias
from ops.console.clones import views as clones
from ops.console.design import views as design
from ops.console.home import views as home
from ops.console.restores import views as restores
from ops.console.work import views as work

CAFETERIA = "console/cafeterias/<int:cafeteria_id>"

urlpatterns = [
    path("console/", home.home, name="console"),
    path("console/cafeterias", cafeterias.cafeterias, name="console_cafeterias"),
    path(CAFETERIA, cafeterias.cafeteria, name="console_cafeteria"),
    path(f"{CAFETERIA}/suspend", cafeterias.suspend, name="console_suspend"),
    path(f"{CAFETERIA}/resume", cafeterias.resume, name="console_resume"),
    path(f"{CAFETERIA}/close", cafeterias.close, name="console_close"),
    path(f"{CAFETERIA}/keep", cafeterias.keep, name="console_keep_copy"),
    path(f"{CAFETERIA}/support", cafeterias.ask_support, name="console_ask_support"),
    path(f"{CAFETERIA}/backups", cafeterias.backups, name="console_backups"),
    path(f"{CAFETERIA}/backups/take", cafeterias.take_backup, name="console_take_backup"),
    path(f"{CAFETERIA}/backups/<uuid:backup_id>/prove", cafeterias.prove_backup, name="console_prove_backup"),
    path(f"{CAFETERIA}/preview", restores.preview, name="console_begin_preview"),
    path(f"{CAFETERIA}/restore", restores.restore, name="console_begin_restore"),
    path(f"{CAFETERIA}/moment", cafeterias.choose_moment, name="console_moment"),
    path(f"{CAFETERIA}/clone", clones.clone, name="console_begin_clone"),
    path("console/clones/<uuid:clone_id>", clones.clone_page, name="console_clone"),
    path("console/clones/<uuid:clone_id>/state", clones.clone_part, name="console_clone_state"),
    path("console/previews/<uuid:job_id>", restores.preview_page, name="console_preview"),
    path("console/previews/<uuid:job_id>/state", restores.preview_part, name="console_preview_state"),
    path("console/restores", restores.history, name="console_restores"),
    path("console/restores/<uuid:restore_id>", restores.restore_page, name="console_restore"),
    path("console/restores/<uuid:restore_id>/state", restores.restore_part, name="console_restore_state"),
    path("console/restores/<uuid:restore_id>/cancel", restores.cancel, name="console_cancel_restore"),
    path("console/restores/<uuid:restore_id>/undo", restores.undo, name="console_undo"),
    path("console/jobs", work.jobs, name="console_jobs"),
    path("console/jobs/<uuid:job_id>", work.job, name="console_job"),
    path("console/jobs/<uuid:job_id>/state", work.job_part, name="console_job_state"),
    path("console/jobs/<uuid:job_id>/retry", work.retry_job, name="console_retry_job"),
    path("console/jobs/<uuid:job_id>/cancel", work.cancel_job, name="console_cancel_job"),
    path("console/migrations", work.migrations, name="console_migrations"),
    path("console/migrations/run", work.migrate, name="console_migrate"),
    path("console/design", design.design, name="console_design"),
    path("console/alerts", work.alerts, name="console_alerts"),
    path("console/alerts/<int:alert_id>/resolve", work.resolve_alert, name="console_resolve_alert"),
]
