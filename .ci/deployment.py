"""Compares template.yaml with what the code needs of its deployment, which is on standard input (tests/examples/deployment.rs):
tables, the numbers of queues and processor, the heartbeat's message, the metrics that alarms and the dashboard look at, and
all that each provider needs. Some things the template must say twice, as limits of routes: they must agree too."""

import json
import re
import sys
from pathlib import Path

from samcli.yamlhelper import yaml_parse

template = yaml_parse(Path("template.yaml").read_text())
resources, outputs = template["Resources"], template["Outputs"]
code = json.load(sys.stdin)
differences = []


def must_be(what, theirs, ours):
    """Notes where the template differs from the code."""
    if theirs != ours:
        differences.append(f"{what}: template.yaml has {theirs}, the code {ours}")


def of_type(kind):
    """The template's resources of a type: properties by name."""
    return {name: each.get("Properties", {}) for name, each in resources.items() if each["Type"] == kind}


def functions():
    """The functions' properties, by the name of their binary."""
    return {
        each["Metadata"]["BuildProperties"]["Binary"]: each["Properties"]
        for each in resources.values()
        if each["Type"] == "AWS::Serverless::Function"
    }


def provided():
    """The providers that have a webhook function, the first one first."""
    return [binary.removeprefix("webhook-") for binary in functions() if binary.startswith("webhook-")]


def routes(function):
    """A function's routes, as the API calls them."""
    for event in function.get("Events", {}).values():
        if event["Type"] == "HttpApi":
            properties = event["Properties"]
            yield f"{properties['Method']} {properties['Path']}" if "Path" in properties else "$default"


def comparable(table):
    """What makes a table itself, whatever order it is written in."""
    stream = table.get("StreamSpecification", {})
    return {
        "keys": [(key["AttributeName"], key["KeyType"]) for key in table["KeySchema"]],
        "attributes": sorted((each["AttributeName"], each["AttributeType"]) for each in table["AttributeDefinitions"]),
        "billing": table["BillingMode"],
        "stream": stream.get("StreamViewType"),
        "time to live": table["TimeToLiveSpecification"],
        "indexes": {
            index["IndexName"]: (
                [(key["AttributeName"], key["KeyType"]) for key in index["KeySchema"]],
                index["Projection"]["ProjectionType"],
                sorted(index["Projection"].get("NonKeyAttributes", [])),
            )
            for index in table.get("GlobalSecondaryIndexes", [])
        },
    }


def compare_tables():
    deployed = of_type("AWS::DynamoDB::Table")
    defined = {name: {**create, **time_to_live} for name, (create, time_to_live) in code["tables"].items()}
    must_be("the tables", sorted(deployed), sorted(defined))
    for name in deployed.keys() & defined.keys():
        theirs, ours = comparable(deployed[name]), comparable(defined[name])
        for part in ours:
            must_be(f"{part} of {name}", theirs[part], ours[part])


def compare_queues():
    queues, processor = of_type("AWS::SQS::Queue"), resources["Processor"]["Properties"]
    must_be("the processor's time-out", processor["Timeout"], code["processor_timeout"])
    for name in ("EventsQueue", "DeadLetterQueue"):
        must_be(f"the visibility time-out of {name}", queues[name]["VisibilityTimeout"], code["visibility"])
    must_be("when a write is late", resources["SlowTableAlarm"]["Properties"]["Threshold"], code["late_write_ms"])
    dead_after = queues["EventsQueue"]["RedrivePolicy"]["maxReceiveCount"]
    must_be("how often a message is received before it is a dead letter", dead_after, code["dead_after"])
    for name, source in processor["Events"].items():
        must_be(f"the batch size of {name}", source["Properties"]["BatchSize"], code["batch"])
    heartbeat = resources["Heartbeat"]["Properties"]["Target"]["Input"]
    must_be("the heartbeat", json.loads(heartbeat), json.loads(code["heartbeat"]))


def emitted(line):
    """The metrics that a line of the code's makes, as alarms name them."""
    namespace = {"Fn::Sub": line["Namespace"].replace("/test", "/${Stage}")}
    for names in line["Dimensions"]:
        dimensions = {name: line[name] for name in names}
        yield from (named(namespace, each["Name"], dimensions) for each in line["Metrics"])


def named(namespace, metric, dimensions):
    """A metric's name. Every provider has the same ones, so which of them it is of is left out."""
    if dimensions.get("provider") in provided():
        dimensions = {**dimensions, "provider": "any"}
    return json.dumps(namespace), metric, json.dumps(dimensions, sort_keys=True)


def watched():
    """The metrics of our own that alarms look at, by alarm."""
    for alarm, properties in of_type("AWS::CloudWatch::Alarm").items():
        metrics = [each["MetricStat"]["Metric"] for each in properties.get("Metrics", []) if "MetricStat" in each]
        if "MetricName" in properties:
            metrics.append(properties)
        if len(metrics) > 10:
            differences.append(f"{alarm} looks at {len(metrics)} metrics: CloudWatch takes 10")
        for metric in metrics:
            if "Tillwatch" in json.dumps(metric["Namespace"]):
                dimensions = {each["Name"]: each["Value"] for each in metric.get("Dimensions", [])}
                yield alarm, named(metric["Namespace"], metric["MetricName"], dimensions)


def known_metrics():
    """The metrics of our own that there can be, by what the code writes and what is counted in logs."""
    known = {metric for line in code["metrics"] for metric in emitted(json.loads(line))}
    for metric_filter in of_type("AWS::Logs::MetricFilter").values():
        for made in metric_filter["MetricTransformations"]:
            known.add(named(made["MetricNamespace"], made["MetricName"], {}))
    return known


def compare_metrics():
    known = known_metrics()
    seen = set()
    for alarm, metric in watched():
        seen.add(metric[1:])
        if metric not in known:
            differences.append(f"{alarm} looks at {' '.join(metric)}, which the code never writes")
    for name, dimensions in [
        ("Requests", {"outcome": "accepted", "provider": "any"}),
        ("Requests", {"outcome": "rejected", "provider": "any"}),
        ("Events", {"outcome": "parked"}),
        ("Events", {"outcome": "again"}),
        ("Subscriptions", {"outcome": "failed"}),
        ("Subscriptions", {"outcome": "missing"}),
        ("Subscriptions", {"outcome": "disabled"}),
        ("Heartbeat", {}),
    ]:
        if (name, json.dumps(dimensions, sort_keys=True)) not in seen:
            differences.append(f"no alarm looks at {name} of {dimensions}")


SEARCH = re.compile(r"""SEARCH\('\{"(?P<space>[^"]+)",(?P<names>[\w,]+)\} MetricName="(?P<metric>\w+)"( outcome="(?P<outcome>\w+)")?', '""")


def compare_dashboard():
    """That the dashboard is JSON once everything is put in, and shows nothing that there is not, and all alarms, queues and
    functions."""
    known = [(json.loads(space)["Fn::Sub"], name, json.loads(dimensions)) for space, name, dimensions in known_metrics()]
    body = resources["Dashboard"]["Properties"]["DashboardBody"]["Fn::Sub"]
    put_in = set(re.findall(r"\$\{(?!!)([^}]+)\}", body))
    # `${Stage}` stays, for the namespace is compared; `${!x}` is what CloudWatch is to get as `${x}`.
    text = re.sub(r"\$\{(?!!|Stage\})([^}]+)\}", r"\1", body).replace("${!", "${")
    try:
        widgets = json.loads(text)["widgets"]
    except ValueError as error:
        differences.append(f"the dashboard is no JSON: {error}")
        return
    for widget in widgets:
        properties = widget["properties"]
        for metric in properties.get("metrics", []):
            for shown in looked_at(metric):
                if not any(is_shown(*shown, *each) for each in known):
                    differences.append(f"the dashboard's {properties['title']} shows {shown}, which the code never writes")
    for kind, attribute in [("AWS::CloudWatch::Alarm", ".Arn"), ("AWS::SQS::Queue", ".QueueName"), ("AWS::Serverless::Function", "")]:
        for name in of_type(kind):
            if name + attribute not in put_in:
                differences.append(f"the dashboard does not show {name}")


def looked_at(metric):
    """The metrics of our own that one line of a graph is of: namespace, name, the dimensions' names, and of them the values that
    are asked for."""
    first = metric[0]
    if isinstance(first, dict):
        found = list(SEARCH.finditer(first["expression"]))
        if first["expression"].count("SEARCH(") != len(found):
            differences.append(f"the dashboard searches in a way that is not understood here: {first['expression']}")
        for each in found:
            values = {"outcome": each["outcome"]} if each["outcome"] else {}
            yield each["space"], each["metric"], set(each["names"].split(",")), values
    elif "Tillwatch" in first:
        parts = [part for part in metric[2:] if isinstance(part, str)]
        values = dict(zip(parts[::2], parts[1::2]))
        yield first, metric[1], set(values), values


def is_shown(space, name, names, values, known_space, known_name, known_dimensions):
    """Whether what is looked at is a metric, or some of it, that is known."""
    is_same = (space, name, names) == (known_space, known_name, set(known_dimensions))
    return is_same and values.items() <= known_dimensions.items()


def pieces(provider):
    """All that a provider has to itself, by what it is: resources, and outputs. What people read is left out, for there
    the providers differ; so are routes of GET, which not all of them have."""
    name = "".join(part.capitalize() for part in provider.split("_"))
    found = {
        "secret": resources.get(f"{name}Secret"),
        "log": resources.get(f"Webhook{name}Log"),
        "role": resources.get(f"Webhook{name}Role"),
        "function": resources.get(f"Webhook{name}"),
        "alarm": resources.get(f"{name}RejectedAlarm"),
        "output of the URL": outputs.get(f"{name}WebhookUrl"),
        "output of the secret's name": outputs.get(f"{name}SecretName"),
    }
    return name, json.loads(json.dumps(found), object_hook=without_what_differs)


def without_what_differs(part):
    return {
        key: value
        for key, value in part.items()
        if key not in ("Description", "AlarmDescription")
        and not (isinstance(value, dict) and value.get("Properties", {}).get("Method") == "GET")
    }


def difference(theirs, wanted, where):
    """Where two trees differ first, in words; none, if they are the same."""
    if isinstance(theirs, dict) and isinstance(wanted, dict):
        below = [(theirs.get(key), wanted.get(key), f"{where}, {key}") for key in {**wanted, **theirs}]
    elif isinstance(theirs, list) and isinstance(wanted, list) and len(theirs) == len(wanted):
        below = [(*each, f"{where}, {number}") for number, each in enumerate(zip(theirs, wanted), 1)]
    else:
        return None if theirs == wanted else f"{where}: template.yaml has {json.dumps(theirs)}, not {json.dumps(wanted)}"
    return next(filter(None, (difference(*each) for each in below)), None)


def compare_providers():
    there = provided()
    must_be("the providers", sorted(there), sorted(code["providers"]))
    # Each of them is what the first one is, under its own name.
    first = there[0]
    first_name, pattern = pieces(first)
    for provider in there:
        name, theirs = pieces(provider)
        for what, piece in pattern.items():
            if theirs[what] is None:
                differences.append(f"{provider}'s {what} is missing")
                continue
            text = json.dumps(piece).replace(first_name, name).replace(first, provider)
            found = difference(theirs[what], json.loads(text), f"{provider}'s {what}")
            if found:
                differences.append(found)
        got = sorted(route for route in routes(functions()[f"webhook-{provider}"]) if route.startswith("GET "))
        path = f"/webhooks/{provider}"
        wanted = [f"GET {path}", f"GET {path}/{{proxy+}}"] if code["providers"].get(provider) else []
        must_be(f"where {provider} may GET", got, wanted)
        for role in ("ChecksRole", "ConsoleRole", "JobsRole", "ReconciliationsRole", "RefreshesRole", "SubscriptionsRole"):
            if {"Ref": f"{name}Secret"} not in secrets_of(role):
                differences.append(f"{role} can't read {name}Secret")


def secrets_of(role):
    """The secrets that a role may read."""
    for policy in resources[role]["Properties"]["Policies"]:
        for statement in policy["PolicyDocument"]["Statement"]:
            if "secretsmanager:GetSecretValue" in statement["Action"]:
                resource = statement["Resource"]
                yield from resource if isinstance(resource, list) else [resource]


def compare_functions():
    deployed = functions()
    must_be("the functions", sorted(deployed), sorted(binary.stem for binary in Path("functions/src/bin").glob("*.rs")))
    roles = [json.dumps(function["Role"]) for function in deployed.values()]
    for role in sorted({role for role in roles if roles.count(role) > 1}):
        differences.append(f"functions share the role {role}: each has its own")
    # Webhooks have the API's own limits, all else has tighter ones.
    api = resources["Api"]["Properties"]
    for route in sorted(set(api["RouteSettings"]) ^ set(routes(deployed["console"]))):
        differences.append(f"{route}: what the console answers has limits in RouteSettings, and nothing else has")
    # Paths and queries hold secrets, identities addresses.
    for part in ("path", "query", "identity"):
        if part in api["AccessLogSettings"]["Format"].lower():
            differences.append(f"the access log holds the {part} of requests")


compare_tables()
compare_queues()
compare_metrics()
compare_dashboard()
compare_providers()
compare_functions()
if differences:
    sys.exit("\n".join(differences))
