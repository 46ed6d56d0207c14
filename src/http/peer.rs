//! Which connections come from one client, as far as an address tells.

use std::net::{IpAddr, Ipv6Addr};

/// One client: an IPv4 address, or the /64 of an IPv6 address, out of which one machine can take as many as it likes. An
/// IPv4 address within an IPv6 one is that IPv4 address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Peer(IpAddr);

impl Peer {
    pub(super) fn of(address: IpAddr) -> Self {
        const NETWORK: u128 = !0 << 64;
        Self(match address.to_canonical() {
            IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & NETWORK).into(),
            address @ IpAddr::V4(_) => address,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_client_is_an_address_or_its_network() {
        let same = |one: &str, other: &str| Peer::of(one.parse().unwrap()) == Peer::of(other.parse().unwrap());
        assert!(same("10.0.0.9", "::ffff:10.0.0.9") && !same("10.0.0.9", "10.0.0.8"));
        assert!(same("2001:db8::1", "2001:db8::ffff:0:0:2") && !same("2001:db8::1", "2001:db8:0:1::1"));
        assert!(!same("::ffff:10.0.0.9", "::ffff:10.0.0.8"));
    }
}
