from core.jobs import JobRun, Json
from ops.certificates.actions import check_certificates


def check(run: JobRun) -> Json:  # noqa: ARG001 - every job takes its run
    """Look at the certificates. The result is what /metrics says of them."""
    looks = check_certificates()
    kinds = sorted({look.kind for look in looks})
    good = {kind: [look.ends for look in looks if look.kind == kind and look.ends is not None] for kind in kinds}
    return {
        "ends": {kind: min(ends) for kind, ends in good.items() if ends},
        "bad": {kind: sum(look.kind == kind and look.ends is None for look in looks) for kind in kinds},
    }
