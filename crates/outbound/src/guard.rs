//! Which addresses may be called. The ranges are those of the IANA special-purpose address registries (RFC 6890 and its
//! updates) that do not lead to the public Internet.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// What an address is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// It leads to the public Internet.
    Public,
    /// Loopback or a private network: callable where the setting allows it.
    Private(&'static str),
    /// Never callable.
    Never(&'static str),
}

/// Judges an address. Errors: what the address is, where it may not be called.
pub fn check(address: IpAddr, allow_private: bool) -> Result<(), &'static str> {
    match kind(address) {
        Kind::Public => Ok(()),
        Kind::Private(_) if allow_private => Ok(()),
        Kind::Private(reason) | Kind::Never(reason) => Err(reason),
    }
}

/// What an address is; an IPv4 address in IPv6 clothes is judged by what it wears inside.
#[must_use]
pub fn kind(address: IpAddr) -> Kind {
    match address {
        IpAddr::V4(address) => kind_v4(address),
        IpAddr::V6(address) => kind_v6(address),
    }
}

fn kind_v4(address: Ipv4Addr) -> Kind {
    match address.octets() {
        [127, ..] => Kind::Private("loopback"),
        [10, ..] | [172, 16..=31, ..] | [192, 168, ..] => Kind::Private("a private network"),
        [100, 100, 100, 200] | [168, 63, 129, 16] => Kind::Never("a cloud's metadata service"),
        [100, 64..=127, ..] => Kind::Private("a shared network"),
        [169, 254, ..] => Kind::Never("link-local, where metadata services live"),
        [0, ..] => Kind::Never("this host on this network"),
        [192, 0, 0, _] => Kind::Never("reserved for protocols"),
        [192, 0, 2, _] | [198, 51, 100, _] | [203, 0, 113, _] => Kind::Never("for documentation"),
        [192, 88, 99, _] => Kind::Never("a withdrawn relay"),
        [198, 18 | 19, ..] => Kind::Never("for benchmarks"),
        [224..=239, ..] => Kind::Never("multicast"),
        [240..=255, ..] => Kind::Never("reserved or broadcast"),
        _ => Kind::Public,
    }
}

fn kind_v6(address: Ipv6Addr) -> Kind {
    let embedded = |high: u16, low: u16| {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        kind_v4(Ipv4Addr::new(a, b, c, d))
    };
    match address.segments() {
        [0, 0, 0, 0, 0, 0, 0, 1] => Kind::Private("loopback"),
        [0, 0, 0, 0, 0, 0, 0, 0] => Kind::Never("unspecified"),
        // IPv4-mapped, IPv4-compatible, IPv4-translated (RFC 2765), and NAT64 (RFC 6052).
        [0, 0, 0, 0, 0, 0xffff | 0, high, low]
        | [0, 0, 0, 0, 0xffff, 0, high, low]
        | [0x64, 0xff9b, 0, 0, 0, 0, high, low] => embedded(high, low),
        // 6to4 (RFC 3056).
        [0x2002, high, low, ..] => embedded(high, low),
        [0x64, 0xff9b, 1, ..] => Kind::Never("a local translation prefix"),
        [0x100, 0, 0, 0, ..] => Kind::Never("discard-only"),
        [0x2001, 0xdb8, ..] | [0x3fff, 0..=0x0fff, ..] => Kind::Never("for documentation"),
        [0x2001, 0..=0x1ff, ..] => Kind::Never("reserved for protocols"),
        [0x5f00, ..] => Kind::Never("segment routing"),
        // Unique local addresses hold metadata services too.
        [0xfd00, 0x0ec2, 0, 0, 0, 0, 0, 0x254] => Kind::Never("a cloud's metadata service"),
        [0xfc00..=0xfdff, ..] => Kind::Private("a unique local network"),
        [0xfe80..=0xfebf, ..] => Kind::Never("link-local"),
        [0xfec0..=0xfeff, ..] => Kind::Never("site-local"),
        [0xff00..=0xffff, ..] => Kind::Never("multicast"),
        _ => Kind::Public,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(address: &str, allow_private: bool) -> bool {
        check(address.parse().expect("an address"), allow_private).is_ok()
    }

    #[test]
    fn the_public_internet_may_be_called() {
        for address in [
            "1.1.1.1",
            "172.15.0.1",
            "172.32.0.1",
            "100.63.0.1",
            "100.128.0.1",
            "2606:4700::1",
            "64:ff9b::101:101",
        ] {
            assert!(verdict(address, false), "{address}");
        }
    }

    #[test]
    fn private_networks_need_the_setting() {
        for address in [
            "127.0.0.1",
            "127.255.255.255",
            "10.0.0.1",
            "172.16.0.1",
            "172.31.255.255",
            "192.168.1.1",
            "100.64.0.1",
            "::1",
            "fc00::1",
            "fd12::1",
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "::127.0.0.1",
            "::ffff:0:127.0.0.1",
            "::ffff:0:10.0.0.1",
            "64:ff9b::7f00:1",
            "2002:7f00:1::",
        ] {
            assert!(!verdict(address, false), "{address}");
            assert!(verdict(address, true), "{address}");
        }
    }

    #[test]
    fn some_addresses_are_never_called() {
        for address in [
            "0.0.0.0",
            "169.254.169.254",
            "100.100.100.200",
            "168.63.129.16",
            "192.0.0.1",
            "192.0.2.1",
            "198.18.0.1",
            "224.0.0.1",
            "239.255.255.255",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "fe80::1",
            "ff02::1",
            "2001:db8::1",
            "2001::1",
            "fd00:ec2::254",
            "::ffff:169.254.169.254",
            "64:ff9b::a9fe:a9fe",
            "2002:a9fe:a9fe::",
            "100::1",
        ] {
            assert!(!verdict(address, true), "{address}");
        }
    }
}
