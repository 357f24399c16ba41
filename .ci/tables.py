"""Compares the tables of template.yaml with the definitions on standard input (CreateTable and UpdateTimeToLive requests)."""

import json
import sys
from pathlib import Path

from samcli.yamlhelper import yaml_parse


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


resources = yaml_parse(Path("template.yaml").read_text())["Resources"]
deployed = {name: each["Properties"] for name, each in resources.items() if each["Type"] == "AWS::DynamoDB::Table"}
defined = {name: {**create, **time_to_live} for name, (create, time_to_live) in json.load(sys.stdin).items()}
if deployed.keys() != defined.keys():
    sys.exit(f"template.yaml has the tables {sorted(deployed)}, the code {sorted(defined)}")
for name in defined:
    theirs, ours = comparable(deployed[name]), comparable(defined[name])
    for part in ours:
        if theirs[part] != ours[part]:
            sys.exit(f"{name} in template.yaml has {part} {theirs[part]}, the code {ours[part]}")
