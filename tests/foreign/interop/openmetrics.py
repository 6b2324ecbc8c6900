"""Reads a page with the parser of OpenMetrics that Prometheus's authors maintain, which refuses what the
standard forbids, and prints of each family: name, type, unit, number of samples."""

import sys
from urllib.request import Request, urlopen

from prometheus_client.openmetrics.parser import text_string_to_metric_families

request = Request(sys.argv[1], headers={"Accept": "application/openmetrics-text;version=1.0.0"})
with urlopen(request, timeout=30) as page:
    text = page.read().decode()
for family in text_string_to_metric_families(text):
    print(family.name, family.type, family.unit or "-", len(family.samples))
