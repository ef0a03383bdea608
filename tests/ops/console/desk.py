"""An admin at the console, and what stands around."""

from dataclasses import dataclass
from typing import Any

from django.test import Client

from core.jobs.runner import run_job
from ops.backups.actions import take_backup
from ops.backups.models import Backup
from tenants.queries import ref_by_uuid
from tests.world import Place, World

NO_BREAK = "\N{NO-BREAK SPACE}"


@dataclass(kw_only=True)
class Desk:
    world: World
    admin: Client

    @property
    def place(self) -> Place:
        return self.world.a

    @property
    def base(self) -> str:
        return f"/console/cafeterias/{self.place.ref.id}"

    def read(self, address: str, lang: str = "en", status: int = 200) -> str:
        """The page's words, by their spaces as people see them."""
        self.admin.cookies["lang"] = lang
        response = self.admin.get(address)
        assert response.status_code == status, (address, response.status_code)
        return str(response.text).replace(NO_BREAK, " ")

    def send(self, address: str, **values: Any) -> Any:
        self.admin.cookies["lang"] = "en"
        return self.admin.post(address, values)

    def follow(self, response: Any) -> str:
        """Where it leads to, after the job behind it has run."""
        assert response.status_code == 302, response.text[:2000]
        return str(response["Location"])

    def run(self, address: str) -> str:
        """Run the job that the address ends with."""
        run_job(address.rstrip("/").rpartition("/")[2])
        return address

    def backup(self, kind: str = "manual") -> Backup:
        return take_backup(cafeteria_uuid=self.place.ref.uuid, kind=kind)

    def order(self) -> int:
        """Its number."""
        body = self.place.order(guest={"name": "Ana"})
        response = self.place.client().post("/api/v1/orders", body, content_type="application/json")
        assert response.status_code == 201
        return int(response.json()["number"])

    def renew(self) -> None:
        """What tests hold of the cafeteria is of the generation before a restore."""
        self.place.ref = ref_by_uuid(self.place.ref.uuid)
