"""Starts Alertmanager with infra/alertmanager/alertmanager.yml, gives it alerts, and asks it which ones it keeps back, and for
which others. Nothing is sent anywhere: it is ended before the first group has waited."""

import json
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

DOWN = {"alertname": "PosProviderDown", "severity": "critical", "scope": "provider", "provider": "square"}
OURS = {"alertname": "PosOursToMend", "severity": "critical", "scope": "provider", "provider": "square"}
ALL_DOWN = {"alertname": "PosPlatformWide", "severity": "critical", "scope": "platform"}
AUTH = {"alertname": "PosManyAuthFailures", "severity": "critical", "scope": "provider", "provider": "square"}
STALE = {"alertname": "TillwatchSurveyStale", "severity": "critical", "scope": "watch"}


def of_provider(name, severity="warning", provider="square", **more):
    return {"alertname": name, "severity": severity, "scope": "provider", "provider": provider, **more}


def of_ours(name, severity="warning", provider="square"):
    return {**of_provider(name, severity, provider), "scope": "watch"}


def of_connection(name, severity, provider="square"):
    return {"alertname": name, "severity": severity, "scope": "connection", "provider": provider, "connection": "a"}


def of_queue(name, severity, queue):
    return {"alertname": name, "severity": severity, "scope": "watch", "queue": queue}


# What is the case, the cause, what it keeps back, and what it does not.
CASES = [
    (
        "a provider is down",
        DOWN,
        [
            of_connection("PosConnectionDown", "info"),
            of_connection("PosConnectionRefused", "warning"),
            of_connection("PosWebhookSilence", "warning"),
            of_provider("PosProviderSlow"),
            of_provider("PosBudgetBurningFast", objective="uptime"),
            of_provider("PosProviderIncident", "info"),
        ],
        [
            of_connection("PosConnectionDown", "info", provider="stripe"),
            of_provider("PosProviderSlow", provider="stripe"),
            AUTH,
            of_queue("TillwatchQueueBehind", "warning", "events"),
            of_ours("PosOurAddressDown", "critical"),
            of_ours("PosOurCertificateExpiring"),
        ],
    ),
    (
        "nobody can deliver",
        of_ours("PosOurAddressDown", "critical"),
        [
            of_provider("PosProviderSilent"),
            of_connection("PosWebhookSilence", "warning"),
            of_ours("TillwatchSyntheticFailing"),
            of_ours("TillwatchSyntheticMissing"),
        ],
        [
            of_connection("PosConnectionRefused", "warning"),
            of_connection("PosWebhookSilence", "warning", "stripe"),
            of_ours("TillwatchSyntheticFailing", provider="stripe"),
            of_ours("PosOurCertificateExpiring"),
        ],
    ),
    (
        "our certificate ends",
        of_ours("PosOurCertificateUrgent", "critical"),
        [of_ours("PosOurCertificateExpiring")],
        [of_ours("PosOurCertificateExpiring", provider="stripe"), of_ours("TillwatchSyntheticFailing")],
    ),
    (
        "all are down",
        ALL_DOWN,
        [DOWN, {**DOWN, "provider": "stripe"}, of_connection("PosConnectionDown", "info"), of_provider("PosProviderSlow")],
        [of_queue("TillwatchQueueStuck", "critical", "events"), STALE, of_ours("PosOurAddressDown", "critical"), {"alertname": "Watchdog", "severity": "none", "scope": "watch"}],
    ),
    ("it is ours", OURS, [of_connection("PosConnectionDown", "info")], [of_connection("PosConnectionDown", "info", "stripe")]),
    (
        "many are refused",
        AUTH,
        [of_connection("PosConnectionRefused", "warning"), of_provider("PosProviderErrorRate")],
        [of_connection("PosWebhookSilence", "warning"), of_connection("PosConnectionRefused", "warning", "stripe")],
    ),
    (
        "a provider fails often",
        of_provider("PosProviderErrorRate"),
        [of_connection("PosConnectionErrorRate", "warning")],
        [of_connection("PosConnectionDown", "info")],
    ),
    (
        "a provider is slow",
        of_provider("PosProviderSlow"),
        [of_connection("PosConnectionSlow", "info")],
        [of_connection("PosConnectionDown", "info")],
    ),
    (
        "a provider is silent",
        of_provider("PosProviderSilent"),
        [of_connection("PosWebhookSilence", "warning")],
        [of_connection("PosConnectionRefused", "warning")],
    ),
    (
        "a budget burns fast",
        of_provider("PosBudgetBurningFast", objective="uptime"),
        [of_provider(name, objective="uptime") for name in ("PosBudgetBurning", "PosBudgetBurningSlowly", "PosBudgetSpent")],
        [of_provider("PosBudgetBurning", objective="webhook_success")],
    ),
    (
        "a budget burns",
        of_provider("PosBudgetBurning", objective="uptime"),
        [of_provider("PosBudgetBurningSlowly", "info", objective="uptime")],
        [of_provider("PosBudgetBurningSlowly", "info", objective="api_latency")],
    ),
    (
        "a queue is stuck",
        of_queue("TillwatchQueueStuck", "critical", "events"),
        [of_queue("TillwatchQueueBehind", "warning", "events")],
        [of_queue("TillwatchQueueBehind", "warning", "checks")],
    ),
    (
        "figures are old",
        STALE,
        [of_connection("PosConnectionDown", "info"), of_provider("PosProviderIncident", "info")],
        [{**DOWN, "provider": "stripe"}, of_connection("PosConnectionRefused", "warning")],
    ),
    ("nothing is the cause", None, [], [of_connection("PosConnectionDown", "info"), of_provider("PosProviderSlow")]),
]


def alerts():
    """All of them at once: each case is a deployment of its own."""
    for case, cause, kept_back, told in CASES:
        for labels in ([cause] if cause else []) + kept_back + told:
            yield {"labels": {**labels, "stack": case}}


def of(alert, case):
    """An alert of a case, as Alertmanager names it."""
    return frozenset({**alert, "stack": case}.items())


def main():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    url = f"http://127.0.0.1:{port}/api/v2/alerts"
    body = json.dumps(list(alerts())).encode()
    with tempfile.TemporaryDirectory() as folder, open(f"{folder}/log", "w+") as log:
        config = Path("infra/alertmanager/alertmanager.yml").absolute()
        command = ["prometheus-alertmanager", f"--config.file={config}", f"--storage.path={folder}"]
        command += [f"--web.listen-address=127.0.0.1:{port}", "--cluster.listen-address="]
        tools = Path(".tools/monitoring")
        server = subprocess.Popen(command, stdout=log, stderr=log, cwd=tools if tools.exists() else None)
        try:
            found = judged(server, url, body)
        finally:
            server.kill()
            server.wait()
        if found is None:
            log.seek(0)
            sys.exit(f"Alertmanager did not take the alerts:\n{log.read()}")
    differences = []
    for case, cause, kept_back, told in CASES:
        for labels in kept_back + told + ([cause] if cause else []):
            is_kept_back = found[of(labels, case)]
            if is_kept_back != (labels in kept_back):
                what = "is kept back" if is_kept_back else "is told"
                differences.append(f"alertmanager.yml: when {case}, {labels['alertname']} {what}: {labels}")
    if differences:
        sys.exit("\n".join(differences))


def judged(server, url, body):
    """Whether each alert is kept back, by its labels; none, if Alertmanager ends or takes too long. It takes a moment until it
    has looked at all causes, so it is asked until two answers agree."""
    before, deadline = None, time.monotonic() + 20
    is_sent = False
    while time.monotonic() < deadline and server.poll() is None:
        try:
            if not is_sent:
                urllib.request.urlopen(urllib.request.Request(url, body, {"Content-Type": "application/json"}), timeout=5)
                is_sent = True
            with urllib.request.urlopen(url, timeout=5) as answer:
                now = {frozenset(each["labels"].items()): bool(each["status"]["inhibitedBy"]) for each in json.load(answer)}
            if now and now == before:
                return now
            before = now
        except urllib.error.URLError:
            pass
        time.sleep(0.3)
    return None


main()
