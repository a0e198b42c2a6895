"""Messages are signed by a public standard."""

import base64

import pytest

from callsheet.signing import check_secret, new_secret, signed


def test_a_signature_is_that_of_the_standard():
    # the example of github.com/standard-webhooks/standard-webhooks, libraries/python
    headers = signed("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330,
                     b'{"test": 2432232314}')  # fmt: skip

    assert headers == {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }


def test_secrets_are_long_and_not_twice_the_same():
    one, other = new_secret(), new_secret()

    assert check_secret(one) == one != other
    for wrong in ("whsec_", "whsec_" + base64.b64encode(b"x" * 23).decode(), "whsec_!!!!", one[6:], 3, None):
        with pytest.raises(ValueError, match="24 to 64"):
            check_secret(wrong)
