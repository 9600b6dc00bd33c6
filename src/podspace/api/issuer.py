"""What verifies a ServiceAccount's token without asking this server about each: its OpenID configuration and its public key.

Called by ``dispatch`` for paths that are no resources.
Source: Kubernetes "ServiceAccount issuer discovery"; OpenID Connect Discovery 1.0.
"""

from __future__ import annotations

from aiohttp import web

from podspace import tokens
from podspace.api import respond

CONFIGURATION = "/.well-known/openid-configuration"
KEYS = "/openid/v1/jwks"
_HEADERS = {"Cache-Control": "public, max-age=3600"}


def serve(http: web.BaseRequest, path: str, signer: tokens.Signer | None) -> web.Response | None:
    """The answer, None if the path is another or nobody signs."""
    if signer is None or http.method != "GET":
        return None
    if path == CONFIGURATION:
        configuration = {
            "issuer": tokens.ISSUER,
            "jwks_uri": f"https://{http.headers.get('Host', '')}{KEYS}",
            "response_types_supported": ["id_token"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": [tokens.ALGORITHM],
        }
        return respond.response(respond.encode(configuration), headers=_HEADERS)
    if path == KEYS:
        return respond.response(respond.encode(signer.key_set()), content_type="application/jwk-set+json", headers=_HEADERS)
    return None
