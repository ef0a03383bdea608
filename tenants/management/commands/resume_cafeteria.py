from tenants.actions import resume_cafeteria
from tenants.management.lifecycle import LifecycleCommand


class Command(LifecycleCommand):
    help = "Opens a suspended cafeteria again."
    action = staticmethod(resume_cafeteria)
    done = "{slug} is open."
