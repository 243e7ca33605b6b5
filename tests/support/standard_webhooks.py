"""A sender of Standard Webhooks: the project's own Python library."""

import base64
from datetime import datetime

from standardwebhooks.webhooks import Webhook, hmac_data

ID = "msg_2KWPBgLlAfxdpx2AI54pPJ85f4W"
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
NEW_SECRET = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"
WRONG_SECRET = "whsec_plJ3nmyCDGBKInavdOK15jsl"


def sign(secret: str, body: bytes, at: datetime) -> dict[str, str]:
    """The headers of a message."""
    seconds = str(int(at.timestamp()))
    try:
        signature = Webhook(secret).sign(ID, at, body.decode())
    except UnicodeDecodeError:  # `sign` takes texts only; this is what it does with their bytes
        key = base64.b64decode(secret.removeprefix("whsec_"))
        mac = hmac_data(key, f"{ID}.{seconds}.".encode() + body)
        signature = f"v1,{base64.b64encode(mac).decode()}"
    return {
        "Content-Type": "application/json",
        "webhook-id": ID,
        "webhook-timestamp": seconds,
        "webhook-signature": signature,
    }
