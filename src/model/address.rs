//! What kind of address a name led to.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::vocabulary;

vocabulary! {
    /// The class of an address, as a label and as a word.
    ///
    /// Azure forms a virtual network's address space from RFC 1918, from 100.64.0.0/10, and, rarely, from public space
    /// (Azure virtual network FAQ); where the class alone does not decide, `expected_addresses` does.
    pub enum AddressClass {
        /// RFC 1918 (10/8, 172.16/12, 192.168/16) and IPv6 unique local (`fc00::/7`).
        Private = "private",
        /// RFC 6598, 100.64.0.0/10, which a virtual network may use as well.
        Shared = "shared",
        /// Globally routed.
        Public = "public",
        /// 127.0.0.0/8 and `::1`.
        Loopback = "loopback",
        /// 169.254.0.0/16 and `fe80::/10`.
        LinkLocal = "link_local",
        /// Set aside for something else: unspecified, multicast, documentation, benchmarking, reserved.
        Other = "other",
    }
}

impl AddressClass {
    /// The class of `address`. An IPv4 address inside IPv6 (`::ffff:10.0.0.4`) counts as the IPv4 address it is.
    #[must_use]
    pub fn of(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(v4) => Self::of_v4(v4),
            IpAddr::V6(v6) => Self::of_v6(v6),
        }
    }

    /// Whether a private endpoint or an injected cache may have such an address.
    #[must_use]
    pub fn is_inside_a_network(self) -> bool {
        matches!(self, Self::Private | Self::Shared)
    }

    /// The IANA special-purpose registry for IPv4, as far as it matters here.
    fn of_v4(address: Ipv4Addr) -> Self {
        let [a, b, c, _] = address.octets();
        match (a, b, c) {
            _ if address.is_private() => Self::Private,
            _ if address.is_loopback() => Self::Loopback,
            _ if address.is_link_local() => Self::LinkLocal,
            (100, 64..=127, _) => Self::Shared,
            // This network; protocol assignments; 6to4 anycast; benchmarking; multicast, reserved and broadcast.
            (0 | 224..=255, ..) | (192, 0, 0) | (192, 88, 99) | (198, 18..=19, _) => Self::Other,
            _ if address.is_documentation() => Self::Other,
            _ => Self::Public,
        }
    }

    /// The IANA special-purpose registry for IPv6, as far as it matters here.
    fn of_v6(address: Ipv6Addr) -> Self {
        let head = address.segments();
        match head {
            _ if address.is_loopback() => Self::Loopback,
            _ if address.is_unique_local() => Self::Private,
            _ if address.is_unicast_link_local() => Self::LinkLocal,
            // Documentation (2001:db8::/32, 3fff::/20), benchmarking, and anything outside global unicast 2000::/3.
            [0x2001, 0xdb8, ..] | [0x2001, 0x2, 0, ..] | [0x3fff, 0..=0xfff, ..] => Self::Other,
            [0x2000..=0x3fff, ..] => Self::Public,
            _ => Self::Other,
        }
    }
}

#[cfg(test)]
mod tests {
    use ipnet::Ipv4Net;
    use proptest::prelude::*;

    use super::*;

    fn class(text: &str) -> &'static str {
        AddressClass::of(text.parse().unwrap()).as_str()
    }

    #[test]
    fn each_range_ends_where_its_rfc_says() {
        let table = [
            ("10.0.0.0", "private"),
            ("10.255.255.255", "private"),
            ("11.0.0.0", "public"),
            ("172.15.255.255", "public"),
            ("172.16.0.0", "private"),
            ("172.31.255.255", "private"),
            ("172.32.0.0", "public"),
            ("192.167.255.255", "public"),
            ("192.168.0.1", "private"),
            ("100.63.255.255", "public"),
            ("100.64.0.0", "shared"),
            ("100.127.255.255", "shared"),
            ("100.128.0.0", "public"),
            ("127.0.0.1", "loopback"),
            ("169.254.169.254", "link_local"),
            ("168.63.129.16", "public"),
            ("0.0.0.0", "other"),
            ("203.0.113.7", "other"),
            ("198.19.0.1", "other"),
            ("224.0.0.1", "other"),
            ("255.255.255.255", "other"),
            ("20.50.1.2", "public"),
            ("::1", "loopback"),
            ("::", "other"),
            ("fd00::1", "private"),
            ("fe80::1", "link_local"),
            ("2603:1030::1", "public"),
            ("2001:db8::1", "other"),
            ("ff02::1", "other"),
            ("::ffff:10.0.0.4", "private"),
            ("::ffff:20.50.1.2", "public"),
        ];
        for (address, expected) in table {
            assert_eq!(class(address), expected, "{address}");
        }
    }

    proptest! {
        /// The class agrees with the plain reading of the RFCs as networks, for every IPv4 address.
        #[test]
        fn v4_classes_agree_with_the_networks(bits in any::<u32>()) {
            let address = Ipv4Addr::from_bits(bits);
            let within = |nets: &[&str]| nets.iter().any(|net| net.parse::<Ipv4Net>().unwrap().contains(&address));
            let expected = if within(&["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"]) {
                AddressClass::Private
            } else if within(&["100.64.0.0/10"]) {
                AddressClass::Shared
            } else if within(&["127.0.0.0/8"]) {
                AddressClass::Loopback
            } else if within(&["169.254.0.0/16"]) {
                AddressClass::LinkLocal
            } else if within(&[
                "0.0.0.0/8", "192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "198.18.0.0/15", "198.51.100.0/24",
                "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4",
            ]) {
                AddressClass::Other
            } else {
                AddressClass::Public
            };
            prop_assert_eq!(AddressClass::of(address.into()), expected);
            prop_assert_eq!(AddressClass::of(address.to_ipv6_mapped().into()), expected);
        }
    }
}
