"""Gathered for Django."""

from ops.backups.models import Backup, BackupTurn
from ops.backups.offsite.models import OffsiteErasure, OffsiteMedia, OffsiteStanding
from ops.restores.models import Clone, Restore

__all__ = ["Backup", "BackupTurn", "Clone", "OffsiteErasure", "OffsiteMedia", "OffsiteStanding", "Restore"]
