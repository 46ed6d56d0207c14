"""Reads manifests from standard input, prints them as a JSON list, and holds each to the schema of Kubernetes.

With --any they may be YAML of any kind, and are held to nothing. Exits 1 with a line for each that does not fit. Kinds that are no part of Kubernetes have no schema here and are named in
FOREIGN; any other kind without one is an error.
"""

import json
import sys

import kubernetes_validate
import yaml

FOREIGN = {
    ("monitoring.coreos.com/v1", "PodMonitor"),
    ("monitoring.coreos.com/v1", "ServiceMonitor"),
    ("monitoring.coreos.com/v1", "PrometheusRule"),
    ("azmonitoring.coreos.com/v1", "PodMonitor"),
    ("azmonitoring.coreos.com/v1", "ServiceMonitor"),
    ("secrets-store.csi.x-k8s.io/v1", "SecretProviderClass"),
}
# The newest that the schemas know, and the first with native sidecars that are on without being asked for.
VERSIONS = ("1.37", "1.29")


def main() -> int:
    documents = [document for document in yaml.load_all(sys.stdin, Loader=yaml.CSafeLoader) if document]
    json.dump(documents, sys.stdout)
    if sys.argv[1:] == ["--any"]:
        return 0
    wrong = []
    for document in documents:
        if (document["apiVersion"], document["kind"]) in FOREIGN:
            continue
        for version in VERSIONS:
            try:
                kubernetes_validate.validate(document, version, strict=True)
            except (kubernetes_validate.ValidationError, kubernetes_validate.SchemaNotFoundError) as error:
                wrong.append(f"{document['kind']}/{document['metadata']['name']} for {version}: {error}")
    print("\n".join(wrong), file=sys.stderr)
    return 1 if wrong else 0


sys.exit(main())
