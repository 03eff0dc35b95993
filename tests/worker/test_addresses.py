"""Which addresses an ``http`` job may call."""

from __future__ import annotations

import pytest

from tickr.worker.builtin.addresses import refusal

PUBLIC = ["93.184.216.34", "8.8.8.8", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::8.8.8.8", "2002:808:808::1"]
PRIVATE = [
    *("127.0.0.1", "127.9.9.9", "10.1.2.3", "172.16.0.1", "192.168.1.1", "100.64.0.1", "::1", "fd12::1"),
    *("::ffff:127.0.0.1", "::ffff:10.0.0.1", "64:ff9b::10.0.0.1", "64:ff9b::7f00:1", "2002:7f00:1::", "2002:a00:1::1"),
]
NEVER = [
    *("169.254.169.254", "::ffff:169.254.169.254", "64:ff9b::a9fe:a9fe", "2002:a9fe:a9fe::", "fd00:ec2::254"),
    *("100.100.100.200", "168.63.129.16", "192.0.0.192", "0.0.0.0", "0.1.2.3", "::", "::ffff:0.0.0.0"),
    *("224.0.0.1", "255.255.255.255", "240.0.0.1", "ff02::1", "169.254.1.1", "fe80::1", "fe80::1%eth0"),
    *("192.0.2.1", "198.51.100.1", "203.0.113.1", "198.18.0.1", "192.88.99.1", "192.0.0.170"),
    *("2001:db8::1", "2001::1", "3fff::1", "fec0::1", "5f00::1", "100::1", "64:ff9b:1::1", "::2", "::8.8.8.8"),
]


@pytest.mark.parametrize("address", PUBLIC)
def test_public_addresses_pass(address: str) -> None:
    assert refusal(address, allow_private=False) is None


@pytest.mark.parametrize("address", PRIVATE)
def test_private_addresses_pass_if_allowed(address: str) -> None:
    assert refusal(address, allow_private=False)
    assert refusal(address, allow_private=True) is None


@pytest.mark.parametrize("address", NEVER)
def test_others_never_pass(address: str) -> None:
    assert refusal(address, allow_private=False)
    assert refusal(address, allow_private=True)
