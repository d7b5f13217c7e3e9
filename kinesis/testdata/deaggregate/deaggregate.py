"""De-aggregates Kinesis records with awslabs' library for Lambda functions.

Input, a line each: partition key, tab, data, both in base64. Output: number of
the line, tab, partition key, tab, data.
"""

import base64
import sys

from aws_kinesis_agg.deaggregator import deaggregate_records

for number, line in enumerate(sys.stdin):
    key, data = line.rstrip("\n").split("\t")
    record = {
        "kinesis": {
            "kinesisSchemaVersion": "1.0",
            "sequenceNumber": str(number),
            "approximateArrivalTimestamp": 0,
            "partitionKey": base64.b64decode(key).decode(),
            "data": data,
        }
    }
    for user in deaggregate_records(record):
        kinesis = user["kinesis"]
        data = kinesis["data"]
        if isinstance(data, bytes):  # of an aggregate; other records come back as they were
            data = data.decode()
        key = base64.b64encode(kinesis["partitionKey"].encode()).decode()
        print(number, key, data, sep="\t")
