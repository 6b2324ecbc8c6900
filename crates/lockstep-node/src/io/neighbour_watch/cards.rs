//! The cards at addresses, as this host's kernel knows them: `/proc/net/arp`.

use std::net::Ipv4Addr;

/// The cards of all neighbours that the kernel knows.
pub fn known_cards() -> Vec<(Ipv4Addr, u64)> {
    parse(&std::fs::read_to_string("/proc/net/arp").unwrap_or_default())
}

fn parse(text: &str) -> Vec<(Ipv4Addr, u64)> {
    let row = |line: &str| {
        let mut words = line.split_whitespace();
        let address = words.next()?.parse().ok()?;
        let flags = words.nth(1)?.strip_prefix("0x").and_then(|flags| u32::from_str_radix(flags, 16).ok())?;
        let card = words.next()?.replace(':', "");
        // Bit 2: the entry is complete.
        (flags & 2 != 0).then_some((address, u64::from_str_radix(&card, 16).ok()?))
    };
    text.lines().filter_map(row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_that_are_complete_are_read() {
        let text = "\
IP address       HW type     Flags       HW address            Mask     Device
10.77.0.2        0x1         0x2         02:00:00:00:00:07     *        eth0
10.77.0.3        0x1         0x0         00:00:00:00:00:00     *        eth0
";
        assert_eq!(parse(text), [(Ipv4Addr::new(10, 77, 0, 2), 0x0200_0000_0007)]);
        assert!(parse("").is_empty());
    }
}
