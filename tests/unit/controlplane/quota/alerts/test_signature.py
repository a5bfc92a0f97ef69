import base64
import hashlib
import hmac

import pytest

from controlplane.quota.alerts.signature import UnusableSecret, sign, signing_key, webhook_headers

# The example of the Standard Webhooks libraries.
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
BODY = b'{"test": 2432232314}'


def test_it_is_the_signature_of_the_specification() -> None:
    signature = sign(signing_key(SECRET), "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, BODY)
    assert signature == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_a_plain_secret_is_the_key_itself() -> None:
    key = signing_key("grey heron")
    expected = base64.b64encode(hmac.new(b"grey heron", b"a.1.{}", hashlib.sha256).digest()).decode()
    assert sign(key, "a", 1, b"{}") == f"v1,{expected}"


@pytest.mark.parametrize("secret", ["whsec_", "whsec_!!!", "whsec_abc"])
def test_an_encoded_secret_must_decode(secret: str) -> None:
    with pytest.raises(UnusableSecret) as raised:
        signing_key(secret)
    assert "whsec_" in str(raised.value)
    assert secret == "whsec_" or secret.removeprefix("whsec_") not in str(raised.value)


def test_headers_are_signed_when_there_is_a_key() -> None:
    unsigned = webhook_headers("a", 1, b"{}", None)
    assert unsigned == {"webhook-id": "a", "webhook-timestamp": "1"}
    assert webhook_headers("a", 1, b"{}", b"k") == {**unsigned, "webhook-signature": sign(b"k", "a", 1, b"{}")}
