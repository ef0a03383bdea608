"""Gathered for Django."""

from ops.backups.models import Backup, BackupTurn
from ops.backups.offsite.models import OffsiteErasure, OffsiteStanding
from ops.restores.models import Restore

__all__ = ["Backup", "BackupTurn", "OffsiteErasure", "OffsiteStanding", "Restore"]
