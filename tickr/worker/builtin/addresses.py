"""Which network addresses an ``http`` job may call. Pure.

Whoever may submit a job chooses where Tickr connects to, from inside the network that Tickr runs in. So only addresses
of the public Internet pass, and what an IPv6 address carries inside (NAT64, 6to4, mapped) is looked at as well.
``ipaddress`` knows much of it, but not the same in every Python; the lists here close the gaps.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address, ip_network

Address = IPv4Address | IPv6Address

METADATA = frozenset(
    ip_address(text) for text in ("169.254.169.254", "fd00:ec2::254", "100.100.100.200", "168.63.129.16", "192.0.0.192")
)
"""Where clouds tell secrets to whoever asks from inside; refused even when private addresses are allowed."""

PRIVATE = [
    ip_network(text)
    for text in ("127.0.0.0/8", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "::1/128", "fc00::/7")
]
"""What ``allow_private`` allows."""

NOT_PUBLIC = [ip_network(text) for text in ("192.88.99.0/24", "2001::/23", "2001:db8::/32", "3fff::/20")]
"""Special networks that some Pythons take for global."""

UNICAST = IPv6Network("2000::/3")
NAT64 = IPv6Network("64:ff9b::/96")


def refusal(text: str, *, allow_private: bool) -> str | None:
    """Return why ``text``, an address as the resolver writes it, must not be called; None if it may."""
    address = ip_address(text.partition("%")[0])
    inner = _embedded(address) if isinstance(address, IPv6Address) else None
    if inner is not None:
        return _refusal(inner, allow_private=allow_private)
    return _refusal(address, allow_private=allow_private)


def _refusal(address: Address, *, allow_private: bool) -> str | None:
    if address in METADATA:
        return "it is a cloud's metadata service"
    if any(address in network for network in PRIVATE):
        return None if allow_private else "it is not public (TICKR_HTTP_ALLOW_PRIVATE=true would allow it)"
    if address.is_multicast or address.is_unspecified or address.is_link_local or address.is_reserved:
        return "it is no address of a single host elsewhere"
    if not address.is_global or any(address in network for network in NOT_PUBLIC):
        return "it is not public"
    if isinstance(address, IPv6Address) and address not in UNICAST:
        return "it is not public"
    return None


def _embedded(address: IPv6Address) -> IPv4Address | None:
    """Return the IPv4 address that a packet to ``address`` would end at, if there is one inside."""
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    if address in NAT64:
        return IPv4Address(int(address) & 0xFFFF_FFFF)
    return address.sixtofour
