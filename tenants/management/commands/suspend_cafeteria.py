from tenants.actions import suspend_cafeteria
from tenants.management.lifecycle import LifecycleCommand


class Command(LifecycleCommand):
    help = "Suspends a cafeteria: its site answers 503, its data stays."
    action = staticmethod(suspend_cafeteria)
    done = "{slug} is suspended. `manage.py resume_cafeteria {slug}` opens it again."
