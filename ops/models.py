"""Gathered for Django."""

from ops.backups.models import Backup, BackupTurn
from ops.restores.models import Restore

__all__ = ["Backup", "BackupTurn", "Restore"]
