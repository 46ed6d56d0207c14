"""Reads a Bicep template from standard input, prints its rule groups as a JSON list, and holds each to Microsoft's own types.

The parser is pycep, which checkov reads Bicep with; the types are those of Azure's client library for this resource, which are made
from the same description of the API as the reference and Bicep's own. Exits 1 with a line for each that does not fit.
"""

import importlib.util
import json
import sys

from lark.exceptions import UnexpectedInput
from pycep import BicepParser
from pydantic import ConfigDict, TypeAdapter, ValidationError
from typing_extensions import is_typeddict

KIND = ("Microsoft.AlertsManagement/prometheusRuleGroups", "2023-03-01")


def types():
    """The module with the types alone: the library around it talks to Azure, and needs more than is installed."""
    package = importlib.util.find_spec("azure.mgmt").submodule_search_locations[0]
    spec = importlib.util.spec_from_file_location("azure_types", f"{package}/prometheusrulegroups/types.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    # Named there for type checkers only; it is of who changed a resource, which no template says.
    module.CreatedByType = str
    spec.loader.exec_module(module)
    for kind in vars(module).values():
        if is_typeddict(kind):
            kind.__pydantic_config__ = ConfigDict(extra="forbid", strict=True)
    return module


def main() -> int:
    try:
        template = BicepParser(add_line_numbers=False).parse(text=sys.stdin.read())
    except UnexpectedInput as error:
        print(f"line {error.line}, column {error.column}: no Bicep: {str(error).splitlines()[0]}", file=sys.stderr)
        return 1
    known = set(template["parameters"]) | set(template["variables"])
    actions = [f"{severity}Actions" for severity in ("page", "ticket", "info")]
    for name in actions:
        loop = template["variables"][name]["value"]
        assert loop["config"] == {"actionGroupId": loop["loop_type"]["detail"]["item_name"]}, loop
        assert template["parameters"][loop["loop_type"]["detail"]["array_name"]]["type"] == "array", loop
    adapter = TypeAdapter(types().PrometheusRuleGroupResource)
    groups, wrong = [], []
    for symbol, resource in template["resources"].items():
        group = resource["config"]
        if (resource["type"], resource["api_version"]) != KIND:
            wrong.append(f"{symbol} is {resource['type']}@{resource['api_version']}")
        if group["location"] not in known or not known.issuperset(group["properties"]["scopes"]):
            wrong.append(f"{symbol} is of a place or a workspace that nobody gives")
        # What the variables hold when it is deployed.
        for rule in group["properties"]["rules"]:
            if rule.get("actions") in actions:
                rule["actions"] = [{"actionGroupId": rule["actions"]}]
        try:
            # The library's types ask for tags, and the reference of the resource does not.
            adapter.validate_python({"tags": {}, **group})
        except ValidationError as error:
            wrong += [f"{symbol} {'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors()]
        groups.append(group)
    json.dump(groups, sys.stdout)
    print("\n".join(wrong), file=sys.stderr)
    return 1 if wrong else 0


sys.exit(main())
