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

/// The address that packets to `address` are meant for: the IPv4 address inside an IPv6 one, where there is one.
#[must_use]
pub fn destination(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => match v6.segments() {
            [0x64, 0xff9b, 0, 0, 0, 0, high, low] => Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low)).into(),
            _ => v6.into(),
        },
        v4 @ IpAddr::V4(_) => v4,
    }
}

impl AddressClass {
    /// The class of `address`. An IPv4 address inside IPv6 counts as the IPv4 address it leads to: mapped
    /// (`::ffff:10.0.0.4`), or made by a DNS64 for a NAT64 under the well-known prefix (`64:ff9b::a00:4`, RFC 6052).
    #[must_use]
    pub fn of(address: IpAddr) -> Self {
        match destination(address) {
            IpAddr::V4(v4) => Self::of_v4(v4),
            IpAddr::V6(v6) => Self::of_v6(v6),
        }
    }

    /// What an address of the class [`AddressClass::Other`] is, in words; `None` for every other class. Sources: the IANA
    /// special-purpose address registries.
    #[must_use]
    pub fn what_other(address: IpAddr) -> Option<&'static str> {
        if Self::of(address) != Self::Other {
            return None;
        }
        let address = destination(address);
        Some(match address {
            _ if address.is_unspecified() => "no address at all (RFC 1122)",
            _ if address.is_multicast() => "a multicast address",
            IpAddr::V4(v4) if v4.is_documentation() => "an address for documentation (RFC 5737)",
            IpAddr::V4(v4) => match v4.octets() {
                [0, ..] => "an address of \"this network\" (RFC 1122)",
                [198, 18..=19, ..] => "an address for benchmarks (RFC 2544), which proxies take for those they invent",
                [192, ..] => "an address for protocols (RFC 6890)",
                _ => "a reserved address (RFC 1112)",
            },
            IpAddr::V6(v6) => match v6.segments() {
                [0x2001, 0xdb8, ..] | [0x3fff, ..] => "an address for documentation (RFC 3849, RFC 9637)",
                [0x2001, 0x2, ..] => "an address for benchmarks (RFC 5180)",
                _ => "no global unicast address (RFC 4291)",
            },
        })
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
            ("64:ff9b::a14:104", "private"),
            ("64:ff9b::1432:102", "public"),
            ("64:ff9b::", "other"),
            ("64:ff9b::1:a14:104", "other"),
            ("64:ff9b:1::a14:104", "other"),
        ];
        for (address, expected) in table {
            assert_eq!(class(address), expected, "{address}");
        }
    }

    #[test]
    fn what_is_no_place_for_a_cache_is_told_in_words() {
        for address in
            ["10.0.0.4", "20.50.1.2", "127.0.0.1", "169.254.1.1", "100.64.0.4", "fd00::4", "64:ff9b::a14:104"]
        {
            assert_eq!(AddressClass::what_other(address.parse().unwrap()), None, "{address}");
        }
        let table = [
            ("0.0.0.0", "no address"),
            ("::", "no address"),
            ("0.0.0.7", "this network"),
            ("198.18.0.1", "benchmarks"),
            ("192.0.0.8", "protocols"),
            ("203.0.113.7", "documentation"),
            ("240.0.0.1", "reserved"),
            ("255.255.255.255", "reserved"),
            ("224.0.0.1", "multicast"),
            ("ff02::1", "multicast"),
            ("2001:db8::1", "documentation"),
            ("2001:2::1", "benchmarks"),
            ("4000::1", "no global unicast"),
        ];
        for (address, words) in table {
            let told = AddressClass::what_other(address.parse().unwrap()).unwrap();
            assert!(told.contains(words), "{address}: {told}");
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
            let [_, _, _, _, _, _, high, low] = address.to_ipv6_mapped().segments();
            let behind_nat64 = Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, high, low);
            prop_assert_eq!(AddressClass::of(behind_nat64.into()), expected);
        }
    }
}
