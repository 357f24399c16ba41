"""Holds docs/monitoring.md, which lists what /metrics gives and all alerts, to what it gives (a file, of a world in which every
family has a series); rules and dashboard to that document; the rules to their tests, and Alertmanager's configuration to the
rules. Writes the dashboard's queries to standard output, as rules that promtool can check."""

import json
import re
import sys
from pathlib import Path

import yaml

DOCUMENT = Path("docs/monitoring.md").read_text()
DASHBOARD = Path("infra/grafana/dashboards/tillwatch.json")
# What Prometheus adds to each series, and what other programs give.
ADDED = {"job", "instance", "stack"}
OTHERS = {
    "up": set(),
    "scrape_duration_seconds": set(),
    "prometheus_rule_evaluation_failures_total": {"rule_group"},
    "alertmanager_notifications_failed_total": {"integration"},
    "ALERTS": {"alertname", "alertstate", "severity", "scope", "provider"},
}
SEVERITIES, SCOPES = {"critical", "warning", "info", "none"}, {"platform", "provider", "connection", "watch"}
# Labels of which the document lists the values, all of them, and nothing else in that style.
LISTED = {"outcome", "whose", "queue", "part", "objective", "window"}
VARIABLES = {"$__rate_interval": "5m", "$stack": "prod", "$provider": ".*", "$business": ".*"}

differences = []


def table(heading):
    """The rows of the table under a heading of the document: cells, without the table's own head."""
    section = DOCUMENT.split(f"\n## {heading}\n", 1)[1].split("\n## ", 1)[0]
    rows = [[cell.strip() for cell in re.split(r" \|(?= )", line.strip("| "))] for line in section.splitlines() if line.startswith("| `")]
    return {re.match(r"`(\w+)`", row[0]).group(1): row for row in rows}


def families():
    """Each series of /metrics with its labels; a histogram has three."""
    for name, row in table("Figures").items():
        labels = set(re.findall(r"`(\w+)`", row[2]))
        if row[1] == "histogram":
            yield from ((f"{name}_{part}", labels | ({"le"} if part == "bucket" else set())) for part in ("bucket", "sum", "count"))
        else:
            yield name, labels


def given(exposition):
    """Each family of an exposition that has a series: its kind, its labels, and the values of those that the document lists."""
    kinds = dict(re.findall(r"^# TYPE (\w+) (\w+)$", exposition, re.MULTILINE))
    found = {}
    for name, text in re.findall(r"^(\w+)(?:\{(.*)\})? \S+$", exposition, re.MULTILINE):
        family = name if name in kinds else re.sub(r"_(bucket|sum|count)$", "", name)
        _, names, values = found.setdefault(family, (kinds.get(family, "untyped"), set(), set()))
        labels = re.findall(r'(\w+)="((?:[^"\\]|\\.)*)"', text)
        names.update(label for label, _ in labels if label != "le")
        values.update(value for label, value in labels if label in LISTED)
    for name in sorted(set(kinds) - set(found)):
        differences.append(f"tests/examples/metrics.rs has no series of {name}, so that its labels are not seen")
    return found


def judge_figures(found):
    """The document's table against what is given, both ways."""
    listed = table("Figures")
    for name in sorted(set(found) - set(listed)):
        differences.append(f"/metrics gives {name}, which docs/monitoring.md does not list")
    for name in sorted(set(listed) - set(found)):
        differences.append(f"docs/monitoring.md lists {name}, which /metrics does not give")
    for name in sorted(set(listed) & set(found)):
        kind, labels, values = found[name]
        said = listed[name][1], *(set(re.findall(r"`(\w+)`", cell)) for cell in listed[name][2:4])
        if said[0] != kind:
            differences.append(f"docs/monitoring.md says that {name} is a {said[0]}, and it is a {kind}")
        if said[1] != labels:
            differences.append(f"docs/monitoring.md gives {name} the labels {sorted(said[1])}, and it has {sorted(labels)}")
        if said[2] != values:
            differences.append(f"docs/monitoring.md says of {name} {sorted(said[2])}, and there are {sorted(values)}")


def judge_values(where, expression, found):
    """Notes values that an expression looks for and that no series has: of a name that was misspelt nothing is ever heard."""
    values = set().union(*(values for _, _, values in found.values()))
    for label, text in re.findall(r'(\w+)\s*(?:=~|!~|!=|=)\s*"([^"]*)"', expression):
        for value in text.split("|") if label in LISTED else []:
            if value not in values:
                differences.append(f"{where} looks for {label} {value}, which none has")


def rules():
    for path in sorted(Path("infra/prometheus/rules").glob("*.yml")):
        for group in yaml.safe_load(path.read_text())["groups"]:
            for rule in group["rules"]:
                yield path, rule


def recorded():
    """Each recorded series with the labels that its name says: level:metric:operation."""
    for _, rule in rules():
        if "record" in rule:
            yield rule["record"], set(rule["record"].split(":")[0].split("_"))


def plain(expression):
    """A query of the dashboard without Grafana's variables."""
    for name, value in VARIABLES.items():
        expression = expression.replace(name, value)
    return expression


def judge(where, expression, known):
    """Notes which series and labels of an expression nobody gives."""
    if "$" in expression:
        differences.append(f"{where} has a variable that nobody sets: {expression}")
    text = re.sub(r'"[^"]*"', '""', expression)
    text = re.sub(r"\b(by|on|ignoring|without|group_left|group_right)\s*\([^)]*\)", "", text)
    for name, of in re.findall(r"\b([a-zA-Z_:][\w:]*)\s*(\{[^}]*\})?", text):
        if name not in known:
            # What is left are functions and operators, and labels' names between braces.
            if of or re.match(r"(pos|tillwatch|stack|prometheus|alertmanager)_|.*:", name):
                differences.append(f"{where} asks for {name}, which nobody gives")
            continue
        for label in re.findall(r"(\w+)\s*[=!]", of):
            if label not in known[name] | ADDED:
                differences.append(f"{where} asks for {name} by {label}, a label that it does not have")


def judge_rules(known, found):
    alerts = {}
    for path, rule in rules():
        name = rule.get("alert", rule.get("record"))
        judge(f"{path}: {name}", rule["expr"], known)
        judge_values(f"{path}: {name}", rule["expr"], found)
        for text in rule.get("annotations", {}).values():
            for query in re.findall(r"printf\s+`(\w+:[\w:]+|\w+)[{`]", text):
                if query not in known:
                    differences.append(f"{path}: {name} asks for {query} in what it says, which nobody gives")
        if "alert" not in rule:
            continue
        if name in alerts:
            differences.append(f"{path}: {name} is there twice, and Alertmanager can't tell them apart")
        alerts[name] = rule
        labels = rule.get("labels", {})
        if labels.get("severity") not in SEVERITIES or labels.get("scope") not in SCOPES:
            differences.append(f"{path}: {name} lacks a severity or a scope, by which Alertmanager finds its way")
        if set(rule.get("annotations", {})) != {"summary", "description", "action"}:
            differences.append(f"{path}: {name} must say summary, description and action")
        if "for" not in rule and name != "Watchdog":
            differences.append(f"{path}: {name} fires at the first blip, without `for`")
    return alerts


def judge_tests(alerts):
    """Each alert has a test in which it fires, one that looks at a moment at which it does not, and one of what it says."""
    fires, says, quiet = set(), set(), False
    for path in sorted(Path("infra/prometheus/tests").glob("*.yml")):
        for test in yaml.safe_load(path.read_text())["tests"]:
            for case in test.get("promql_expr_test", []):
                names = re.findall(r'alertname="(\w+)"', json.dumps(case["exp_samples"]).replace("\\", ""))
                fires.update(names)
                quiet = quiet or not names
            for case in test.get("alert_rule_test", []):
                if case["exp_alerts"]:
                    says.add(case["alertname"])
    for name in alerts:
        if name not in fires:
            differences.append(f"no test has {name} fire")
        if name not in says:
            differences.append(f"no test reads what {name} says")
    for name in (fires | says) - set(alerts):
        differences.append(f"tests speak of {name}, which is no alert")
    if not quiet:
        differences.append("no test has nothing fire")


def judge_document(alerts):
    listed = table("Alerts")
    for name in sorted(set(alerts) ^ set(listed)):
        differences.append(f"{name} is {'not ' if name in alerts else ''}in docs/monitoring.md, and {'' if name in alerts else 'not '}in the rules")
    for name in set(alerts) & set(listed):
        if listed[name][1] != alerts[name]["labels"]["severity"]:
            differences.append(f"docs/monitoring.md has another severity of {name} than the rules")


def judge_routes(alerts):
    path = Path("infra/alertmanager/alertmanager.yml")
    config = yaml.safe_load(path.read_text())
    for name in sorted(set(re.findall(r"\b(?:Pos|Tillwatch|Watchdog)\w*", json.dumps([config["route"], config["inhibit_rules"]])))):
        if name not in alerts:
            differences.append(f"{path} speaks of {name}, which is no alert")
    for secret in re.findall(r'"(\w*(?:password|routing_key|service_key|api_url|token|credentials|auth_secret))":', json.dumps(config)):
        differences.append(f"{path} has {secret}, which belongs into a file: {secret}_file")
    judge_route(path, config["route"], {})


def judge_route(path, route, above):
    """Alertmanager repeats at a tick of group_interval alone, so that another repeat_interval than its multiple is not kept."""
    route = {**above, **route}
    interval, repeat = (seconds(route[name]) for name in ("group_interval", "repeat_interval"))
    if repeat % interval:
        differences.append(f"{path}: {route['receiver']} is to be told again after {repeat} s, no multiple of {interval} s")
    for below in route.get("routes", []):
        judge_route(path, below, {key: value for key, value in route.items() if key not in ("routes", "matchers")})


def seconds(duration):
    return int(duration[:-1]) * {"s": 1, "m": 60, "h": 3600}[duration[-1]]


def queries(dashboard):
    """All queries of the dashboard, by the panel that makes them."""
    for panel in dashboard["panels"]:
        for target in panel.get("targets", []):
            yield panel["title"], target["expr"], panel["type"]
    for each in dashboard["annotations"]["list"]:
        yield each["name"], each["expr"], "annotation"


def judge_dashboard(known, found):
    dashboard = json.loads(DASHBOARD.read_text())
    written = []
    for title, expression, kind in queries(dashboard):
        where = f"{DASHBOARD.name}: {title}"
        judge(where, plain(expression), known)
        judge_values(where, plain(expression), found)
        written.append({"record": f"dashboard:query:{len(written)}", "expr": plain(expression)})
        # With ten thousand connections, a panel of one line each is none.
        is_bounded = re.search(r"\b(sum|count|max|min|avg|quantile|topk|bottomk)\b|stack\w*:|pos_(endpoint|provider)_", expression)
        if not is_bounded and "window=" not in expression:
            differences.append(f"{where} shows one thing for each series that there is: {expression}")
    for variable in dashboard["templating"]["list"]:
        for name in re.findall(r"label_values\((\w+)", str(variable["query"])):
            if name not in known:
                differences.append(f"{DASHBOARD.name}: the variable {variable['name']} asks for {name}, which nobody gives")
    ids = [panel["id"] for panel in dashboard["panels"]]
    if len(ids) != len(set(ids)):
        differences.append(f"{DASHBOARD.name}: two panels have one id")
    taken = {}
    for panel in dashboard["panels"]:
        place = panel["gridPos"]
        for cell in ((x, y) for x in range(place["x"], place["x"] + place["w"]) for y in range(place["y"], place["y"] + place["h"])):
            if cell in taken or cell[0] >= 24:
                differences.append(f"{DASHBOARD.name}: {panel['title']} lies over {taken.get(cell, 'the edge')}")
                break
            taken[cell] = panel["title"]
    return written


def main():
    known = {**OTHERS, **dict(families()), **dict(recorded())}
    found = given(Path(sys.argv[1]).read_text())
    judge_figures(found)
    alerts = judge_rules(known, found)
    judge_tests(alerts)
    judge_document(alerts)
    judge_routes(alerts)
    written = judge_dashboard(known, found)
    if differences:
        sys.exit("\n".join(differences))
    print(json.dumps({"groups": [{"name": "dashboard", "rules": written}]}))


main()
