"""Verifies Signature Version 4 with botocore's own signer.

Standard input is a JSON list of requests as a server got them; for each a line
says "ok" or what is wrong. Only the headers that SignedHeaders names are signed.
"""
import base64
import hashlib
import hmac
import json
import re
import sys

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

MUST = {"host", "x-amz-date"}


class Exactly(SigV4Auth):
    """botocore leaves some headers unsigned by itself; here the request says which."""

    names = ()

    def headers_to_sign(self, request):
        chosen = super().headers_to_sign(request)
        for name in list(chosen.keys()):
            del chosen[name]
        for name in self.names:
            for value in request.headers.get_all(name, []):
                chosen[name] = value
        return chosen


def check(request, credentials):
    headers = request["Headers"]
    by_name = {k.lower(): v for k, v in headers}
    m = re.fullmatch(
        r"AWS4-HMAC-SHA256 Credential=([^/]+)/(\d{8})/([^/]+)/([^/]+)/aws4_request, SignedHeaders=([^,]+), Signature=([0-9a-f]{64})",
        by_name.get("authorization", ""),
    )
    if not m:
        return "no such Authorization header: %r" % by_name.get("authorization")
    access, day, region, service, names, signature = m.groups()
    names = names.split(";")
    body = base64.b64decode(request["Body"])
    signer = Exactly(credentials, service, region)
    signer.names = names
    out = AWSRequest(method=request["Method"], url=request["URL"], data=body)
    host = request["URL"].split("/")[2]
    for k, v in headers + [["Host", host]]:
        if k.lower() not in ("authorization",) and k.lower() in names:
            out.headers.add_header(k, v)
    must = MUST | ({"x-amz-security-token"} & set(by_name)) | ({"x-amz-target"} & set(by_name))
    if not must <= set(names):
        return "not signed: %s" % (must - set(names))
    if access != credentials.access_key:
        return "another access key"
    out.context["timestamp"] = by_name["x-amz-date"]
    if not by_name["x-amz-date"].startswith(day):
        return "the scope is of another day"
    if by_name.get("x-amz-content-sha256", hashlib.sha256(body).hexdigest()) != hashlib.sha256(body).hexdigest():
        return "the body has another hash"
    canonical = signer.canonical_request(out)
    want = signer.signature(signer.string_to_sign(out, canonical), out)
    if not hmac.compare_digest(want, signature):
        return "another signature; canonical request:\\n" + canonical.replace("\n", "\\n")
    return "ok"


def main():
    credentials = Credentials(sys.argv[1], sys.argv[2])
    for request in json.load(sys.stdin):
        print(check(request, credentials))


main()
