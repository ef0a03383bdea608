"""The alert rules, Prometheus' settings and the dashboard: right by promtool, each alert shown to fire, each metric really there."""

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import yaml

from tests.ops.measuring.rule_cases import CASES, Case
from tests.processes import REPOSITORY
from tests.world import World

PROMETHEUS = REPOSITORY / "deploy" / "prometheus"
RULES = PROMETHEUS / "rules" / "comanda.yml"
DASHBOARD = REPOSITORY / "deploy" / "grafana" / "dashboards" / "comanda.json"
METRIC = re.compile(r"\bcomanda_[a-z_0-9]+")


def promtool(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(("promtool", *arguments), check=False, capture_output=True, text=True)


def rules() -> list[dict[str, Any]]:
    return [rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]]


def expressions() -> list[str]:
    """Of every panel and annotation of the dashboard."""
    dashboard = json.loads(DASHBOARD.read_text())
    targets = [target["expr"] for panel in dashboard["panels"] for target in panel.get("targets", [])]
    return targets + [each["expr"] for each in dashboard["annotations"]["list"]]


def test_prometheus_takes_its_settings_and_rules() -> None:
    for done in (promtool("check", "config", "--syntax-only", str(PROMETHEUS / "prometheus.yml")), promtool("check", "rules", str(RULES))):
        assert done.returncode == 0, done.stdout + done.stderr


def test_every_alert_has_a_case_in_which_it_fires() -> None:
    assert {case.alert for case in CASES} == {rule["alert"] for rule in rules()}


def test_each_alert_fires_when_it_should_and_only_then(tmp_path: Path) -> None:
    tests = [told for case in CASES for told in (_told(case, case.ill, case.fires), _told(case, case.well, 0))]
    file = tmp_path / "cases.yml"
    file.write_text(yaml.safe_dump({"rule_files": [str(RULES)], "evaluation_interval": "1m", "tests": tests}))
    done = promtool("test", "rules", str(file))
    assert done.returncode == 0, done.stdout + done.stderr


def _told(case: Case, series: dict[str, str], fires: int) -> dict[str, Any]:
    severity = {rule["alert"]: rule["labels"]["severity"] for rule in rules()}[case.alert]
    fired = [{"labels": f'{{severity="{severity}"}}', "value": fires}] if fires else []
    expression = f'count by (severity) (ALERTS{{alertname="{case.alert}",alertstate="firing"}})'
    return {
        "interval": "1m",
        "external_labels": {"runbooks": "docs/runbooks"},
        "input_series": [{"series": name, "values": values} for name, values in series.items()],
        "promql_expr_test": [{"expr": expression, "eval_time": case.after, "exp_samples": fired}],
    }


def test_every_alert_says_what_to_do() -> None:
    for rule in rules():
        book = rule["annotations"]["runbook_url"].removeprefix("{{ $externalLabels.runbooks }}/")
        runbook = REPOSITORY / "docs" / "runbooks" / book
        assert runbook.is_file(), book
        assert rule["alert"] in runbook.read_text(), f"{book} does not name {rule['alert']}"
        assert rule["labels"]["severity"] in {"critical", "warning"}
        assert rule["annotations"]["summary"].endswith(".")


def test_the_dashboards_expressions_can_be_read(tmp_path: Path) -> None:
    """As a rule each: this promtool checks no bare expression."""
    plain = sorted({expression.replace("$__rate_interval", "5m") for expression in expressions()})
    recorded = [{"record": f"panel:number_{number}", "expr": expression} for number, expression in enumerate(plain)]
    file = tmp_path / "panels.yml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": recorded}]}))
    done = promtool("check", "rules", str(file))
    assert done.returncode == 0, done.stderr


def test_every_metric_that_is_named_is_exposed(world: World) -> None:
    world.a.client().get("/")
    text = world.platform_client().get("/metrics", REMOTE_ADDR="127.0.0.1").content.decode()
    types = dict(re.findall(r"^# TYPE (\S+) (\S+)$", text, re.MULTILINE))
    histograms = {f"{name}{end}" for name, kind in types.items() if kind == "histogram" for end in ("_bucket", "_count", "_sum")}
    named = set(METRIC.findall(RULES.read_text())) | {name for expression in expressions() for name in METRIC.findall(expression)}
    assert named - set(types) - histograms == set()
    assert len(named) > 40


def test_every_metric_that_is_exposed_is_on_the_dashboard(world: World) -> None:
    text = world.platform_client().get("/metrics", REMOTE_ADDR="127.0.0.1").content.decode()
    shown = "\n".join(expressions())
    ours = [name for name in re.findall(r"^# TYPE (comanda_\S+)", text, re.MULTILINE) if not name.endswith("_created")]
    apart = {"comanda_webhooks_last_hour"}
    assert [name for name in ours if name not in shown and name not in apart] == []


def test_no_panel_stands_upon_another() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in json.loads(DASHBOARD.read_text())["panels"]:
        place = panel["gridPos"]
        squares = {(x, y) for x in range(place["x"], place["x"] + place["w"]) for y in range(place["y"], place["y"] + place["h"])}
        assert squares & taken == set(), panel["title"]
        assert place["x"] + place["w"] <= 24
        taken |= squares


def test_grafana_is_given_the_source_and_the_folder() -> None:
    provisioning = REPOSITORY / "deploy" / "grafana" / "provisioning"
    [source] = yaml.safe_load((provisioning / "datasources" / "prometheus.yml").read_text())["datasources"]
    [provider] = yaml.safe_load((provisioning / "dashboards" / "comanda.yml").read_text())["providers"]
    dashboard = json.loads(DASHBOARD.read_text())
    assert dashboard["templating"]["list"][0]["current"]["value"] == source["uid"]
    assert provider["options"]["path"] == "/etc/grafana/dashboards"
