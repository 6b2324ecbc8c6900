//! Networks by which a server decides whom it serves.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

/// An IP network: the addresses that share their first bits with one of them. An address is a network of its
/// own.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Network {
    address: IpAddr,
    bits: u8,
}

impl Network {
    /// Whether it has this address. An IPv4 address within IPv6 (`::ffff:10.0.0.1`) counts as what it is.
    pub fn contains(&self, address: IpAddr) -> bool {
        first_bits(address.to_canonical(), self.bits) == Some(self.address)
    }
}

/// The address with all but its first `bits` bits zero; `None` if it has not so many.
fn first_bits(address: IpAddr, bits: u8) -> Option<IpAddr> {
    Some(match address {
        IpAddr::V4(address) => {
            let behind = 32u32.checked_sub(bits.into())?;
            Ipv4Addr::from_bits(address.to_bits() & u32::MAX.checked_shl(behind).unwrap_or(0)).into()
        }
        IpAddr::V6(address) => {
            let behind = 128u32.checked_sub(bits.into())?;
            Ipv6Addr::from_bits(address.to_bits() & u128::MAX.checked_shl(behind).unwrap_or(0)).into()
        }
    })
}

impl FromStr for Network {
    type Err = String;

    /// `10.1.0.0/16`, or an address.
    fn from_str(text: &str) -> Result<Self, String> {
        let (address, bits) =
            text.split_once('/').map_or((text, None), |(address, bits)| (address, Some(bits)));
        let address: IpAddr =
            address.parse().map_err(|_| format!("\"{text}\" is not an IP address or network"))?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        let wrong = || format!("\"{text}\" has to end with a number of bits from 0 to {most}");
        let bits = bits
            .map_or(Some(most), |bits| bits.parse().ok().filter(|bits| *bits <= most))
            .ok_or_else(wrong)?;
        match first_bits(address, bits) {
            Some(first) if first != address => {
                Err(format!("\"{text}\" has bits behind its first {bits}: the network is {first}/{bits}"))
            }
            _ => Ok(Self { address, bits }),
        }
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.address, self.bits) {
            (IpAddr::V4(address), 32) => address.fmt(f),
            (IpAddr::V6(address), 128) => address.fmt(f),
            (address, bits) => write!(f, "{address}/{bits}"),
        }
    }
}

/// A list of networks.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Networks(Vec<Network>);

/// Most networks of a list: each is compared with an address that is none of theirs.
pub const NETWORKS_MAX: usize = 256;

impl Networks {
    /// Whether one of them has this address.
    pub fn contain(&self, address: IpAddr) -> bool {
        self.0.iter().any(|network| network.contains(address))
    }

    /// Whether a server that serves `allowed` alone, or everybody where there is no list, serves this
    /// address.
    pub fn allow(allowed: Option<&Self>, address: IpAddr) -> bool {
        allowed.is_none_or(|networks| networks.contain(address))
    }
}

impl FromStr for Networks {
    type Err = String;

    /// Networks with commas between them, or nothing.
    fn from_str(text: &str) -> Result<Self, String> {
        let texts = text.split(',').map(str::trim).filter(|text| !text.is_empty());
        let networks: Vec<_> = texts.map(str::parse).collect::<Result<_, _>>()?;
        match networks.len() {
            0..=NETWORKS_MAX => Ok(Self(networks)),
            len => Err(format!("{len} networks are too many: at most {NETWORKS_MAX}")),
        }
    }
}

impl fmt::Display for Networks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, network) in self.0.iter().enumerate() {
            write!(f, "{}{network}", if at == 0 { "" } else { ", " })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn networks(text: &str) -> Networks {
        text.parse().unwrap_or_else(|error| panic!("{error}"))
    }

    fn address(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn a_list_has_the_addresses_of_its_networks_and_no_other() {
        let list = networks("10.1.0.0/16, 192.0.2.7 ,2001:db8::/33");
        for (text, is_in) in [
            ("10.1.0.0", true),
            ("10.1.255.255", true),
            ("::ffff:10.1.2.3", true),
            ("10.0.255.255", false),
            ("10.2.0.0", false),
            ("192.0.2.7", true),
            ("192.0.2.6", false),
            ("2001:db8:7fff:ffff::1", true),
            ("2001:db8:8000::", false),
            ("::", false),
        ] {
            assert_eq!(list.contain(address(text)), is_in, "{text}");
            assert_eq!(Networks::allow(Some(&list), address(text)), is_in, "{text}");
            assert!(Networks::allow(None, address(text)));
            assert!(!networks("").contain(address(text)), "an empty list has nobody");
        }
        assert!(networks("0.0.0.0/0").contain(address("203.0.113.9")));
        assert!(!networks("0.0.0.0/0").contain(address("2001:db8::1")), "IPv6 has a list of its own");
        assert!(networks("::/0").contain(address("2001:db8::1")));
    }

    #[test]
    fn a_list_reads_as_it_is_written() {
        for text in ["", "10.1.0.0/16", "10.1.0.0/16, 192.0.2.7", "2001:db8::/33, ::1", "0.0.0.0/0"] {
            assert_eq!(networks(text).to_string(), text);
        }
    }

    #[test]
    fn a_wrong_network_is_named_with_what_is_wrong() {
        for (text, why) in [
            ("10.1.2.3/16", "has bits behind its first 16: the network is 10.1.0.0/16"),
            ("2001:db8::1/64", "the network is 2001:db8::/64"),
            ("10.1.0.0/33", "a number of bits from 0 to 32"),
            ("10.1.0.0/", "a number of bits from 0 to 32"),
            ("2001:db8::/129", "a number of bits from 0 to 128"),
            ("10.1/16", "is not an IP address or network"),
            ("desk-4", "is not an IP address or network"),
            ("10.0.0.1 10.0.0.2", "is not an IP address or network"),
        ] {
            let error = format!("192.0.2.7, {text}").parse::<Networks>().expect_err(text);
            assert!(error.contains(why) && error.contains(text), "{error}");
        }
        let many = vec!["10.0.0.1"; NETWORKS_MAX + 1].join(",");
        assert!(many.parse::<Networks>().is_err_and(|error| error.contains("at most 256")));
    }
}
