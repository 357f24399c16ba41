"""Compares template.yaml with what the code needs of its deployment, which is on standard input (tests/examples/deployment.rs):
tables, the numbers of queues and processor, the heartbeat's message, and the metrics that alarms look at."""

import json
import sys
from pathlib import Path

from samcli.yamlhelper import yaml_parse

resources = yaml_parse(Path("template.yaml").read_text())["Resources"]
code = json.load(sys.stdin)
differences = []


def must_be(what, theirs, ours):
    """Notes where the template differs from the code."""
    if theirs != ours:
        differences.append(f"{what}: template.yaml has {theirs}, the code {ours}")


def of_type(kind):
    """The template's resources of a type: properties by name."""
    return {name: each.get("Properties", {}) for name, each in resources.items() if each["Type"] == kind}


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
    dead_after = queues["EventsQueue"]["RedrivePolicy"]["maxReceiveCount"]
    must_be("how often a message is received before it is a dead letter", dead_after, code["dead_after"])
    for name, source in processor["Events"].items():
        must_be(f"the batch size of {name}", source["Properties"]["BatchSize"], code["batch"])
    heartbeat = resources["Heartbeat"]["Properties"]["Target"]["Input"]
    must_be("the heartbeat", json.loads(heartbeat), json.loads(code["heartbeat"]))


def emitted(line):
    """A metric of the code's, as an alarm names it."""
    namespace = {"Fn::Sub": line["Namespace"].replace("/test", "/${Stage}")}
    dimensions = {name: line[name] for name in line["Dimensions"][0]}
    return {(json.dumps(namespace), each["Name"], json.dumps(dimensions, sort_keys=True)) for each in line["Metrics"]}


def watched():
    """The metrics of our own that alarms look at, by alarm."""
    for alarm, properties in of_type("AWS::CloudWatch::Alarm").items():
        metrics = [each["MetricStat"]["Metric"] for each in properties.get("Metrics", []) if "MetricStat" in each]
        if "MetricName" in properties:
            metrics.append(properties)
        for metric in metrics:
            if "Tillwatch" in json.dumps(metric["Namespace"]):
                dimensions = {each["Name"]: each["Value"] for each in metric.get("Dimensions", [])}
                named = (json.dumps(metric["Namespace"]), metric["MetricName"], json.dumps(dimensions, sort_keys=True))
                yield alarm, named


def compare_metrics():
    known = set().union(*(emitted(json.loads(line)) for line in code["metrics"]))
    for metric_filter in of_type("AWS::Logs::MetricFilter").values():
        for made in metric_filter["MetricTransformations"]:
            known.add((json.dumps(made["MetricNamespace"]), made["MetricName"], "{}"))
    for alarm, metric in watched():
        if metric not in known:
            differences.append(f"{alarm} looks at {' '.join(metric)}, which the code never writes")
    # Every provider is watched alike.
    for provider in code["providers"]:
        dimensions = lambda outcome: json.dumps({"outcome": outcome, "provider": provider}, sort_keys=True)
        wanted = [("Requests", dimensions(outcome)) for outcome in ("accepted", "rejected")]
        wanted += [("Events", dimensions(outcome)) for outcome in ("parked", "again")]
        missing = set(wanted) - {(name, of) for _, (_, name, of) in watched()}
        if missing:
            differences.append(f"no alarm looks at {sorted(missing)}")


compare_tables()
compare_queues()
compare_metrics()
if differences:
    sys.exit("\n".join(differences))
