//! Parses the texts of `/proc` and `/sys`.

use std::net::Ipv4Addr;

/// A list of cores or interrupts as the kernel writes it: `0-2,7`.
pub fn list(text: &str) -> Vec<usize> {
    let mut numbers = Vec::new();
    for part in text.trim().split(',').filter(|part| !part.is_empty()) {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        // a stride, as the command line may have (`0-7:2/4`), and words like `managed_irq` are ignored
        if let (Ok(first), Ok(last)) = (first.trim().parse::<usize>(), last.trim().parse::<usize>()) {
            numbers.extend(first..=last.min(first + 4095));
        }
    }
    numbers
}

/// Writes numbers as the kernel writes a list of them: `0-2,7`.
pub fn list_text(numbers: &[usize]) -> String {
    let mut parts: Vec<(usize, usize)> = Vec::new();
    for number in numbers {
        match parts.last_mut() {
            Some((_, last)) if *last + 1 == *number => *last = *number,
            _ => parts.push((*number, *number)),
        }
    }
    let part = |(first, last): &(usize, usize)| match first == last {
        true => first.to_string(),
        false => format!("{first}-{last}"),
    };
    parts.iter().map(part).collect::<Vec<_>>().join(",")
}

/// The word in brackets, in a file that lists all choices: `always [madvise] never`.
pub fn chosen(text: &str) -> &str {
    let inside = text.split_once('[').and_then(|(_, rest)| rest.split_once(']'));
    inside.map_or(text.trim(), |(word, _)| word)
}

/// The value of a parameter of the kernel's command line.
pub fn parameter<'a>(command_line: &'a str, name: &str) -> Option<&'a str> {
    command_line.split_whitespace().find_map(|word| word.strip_prefix(name)?.strip_prefix('='))
}

/// The rest of the line that begins with `name`, as in `/proc/self/status`.
pub fn row<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.lines().find_map(|line| line.strip_prefix(name)).map(str::trim)
}

/// The soft limit of a row of `/proc/PID/limits`; `u64::MAX` is unlimited.
pub fn limit(limits: &str, name: &str) -> Option<u64> {
    let word = row(limits, name)?.split_whitespace().next()?;
    if word == "unlimited" { Some(u64::MAX) } else { word.parse().ok() }
}

/// This host's own addresses, from `/proc/net/fib_trie`.
pub fn own_addresses(trie: &str) -> Vec<Ipv4Addr> {
    let mut found = Vec::new();
    let mut last = None;
    for line in trie.lines().map(str::trim) {
        if let Some(address) = line.strip_prefix("|-- ") {
            last = address.parse().ok();
        } else if let (Some(address), "/32 host LOCAL") = (last, line)
            && !found.contains(&address)
        {
            found.push(address);
        }
    }
    found
}

/// A row of `/proc/net/route`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RouteRow {
    /// The interface.
    pub interface: String,
    /// The first address of the network.
    pub network: Ipv4Addr,
    /// The mask of the network.
    pub mask: Ipv4Addr,
}

impl RouteRow {
    /// Whether the network contains `address`.
    pub fn contains(&self, address: Ipv4Addr) -> bool {
        u32::from(address) & u32::from(self.mask) == u32::from(self.network)
    }
}

/// The routing table, from `/proc/net/route`.
pub fn routes(text: &str) -> Vec<RouteRow> {
    let address = |hex: &str| u32::from_str_radix(hex, 16).ok().map(|word| Ipv4Addr::from(word.swap_bytes()));
    let row = |line: &str| {
        let words: Vec<_> = line.split_whitespace().collect();
        let (network, mask) = (address(words.get(1)?)?, address(words.get(7)?)?);
        Some(RouteRow { interface: (*words.first()?).to_owned(), network, mask })
    };
    text.lines().skip(1).filter_map(row).collect()
}

/// The interface by which `address` is routed: that of the longest mask.
pub fn route_to(routes: &[RouteRow], address: Ipv4Addr) -> Option<&RouteRow> {
    let fitting = routes.iter().filter(|route| route.contains(address));
    fitting.max_by_key(|route| u32::from(route.mask))
}

/// The numbers and names of interrupts that contain `word`, from `/proc/interrupts`.
pub fn interrupts(text: &str, word: &str) -> Vec<(usize, String)> {
    let is_part = |name: &str| name.split(['-', ' ', ',', '@', ':']).any(|part| part == word) || name == word;
    let row = |line: &str| {
        let (number, rest) = line.split_once(':')?;
        let number = number.trim().parse().ok()?;
        let name = rest.split_whitespace().last()?;
        is_part(name).then(|| (number, name.to_owned()))
    };
    text.lines().filter_map(row).collect()
}

/// A column of `/proc/net/softnet_stat`, summed over all rows: 1 is packets dropped.
pub fn softnet(text: &str, column: usize) -> u64 {
    let word = |line: &str| u64::from_str_radix(line.split_whitespace().nth(column)?, 16).ok();
    text.lines().filter_map(word).sum()
}

/// A counter of `/proc/net/snmp`, by its protocol and name.
pub fn snmp(text: &str, protocol: &str, name: &str) -> Option<u64> {
    let mut rows = text.lines().filter_map(|line| line.strip_prefix(protocol)?.strip_prefix(": "));
    let (names, values) = (rows.next()?, rows.next()?);
    let place = names.split(' ').position(|found| found == name)?;
    values.split(' ').nth(place)?.parse().ok()
}

/// The type and options of the mount that contains `path`, from `/proc/mounts`; the last of equal ones
/// counts.
pub fn mount_of<'a>(mounts: &'a str, path: &str) -> Option<(&'a str, &'a str)> {
    let row = |line: &'a str| {
        let mut words = line.split(' ');
        let (_, point, kind, options) = (words.next()?, words.next()?, words.next()?, words.next()?);
        let inside = point == "/" || path == point || path.strip_prefix(point)?.starts_with('/');
        inside.then_some((point.len(), kind, options))
    };
    let found = mounts.lines().filter_map(row).max_by_key(|(len, ..)| *len);
    found.map(|(_, kind, options)| (kind, options))
}

/// A number of `/proc/meminfo`: KiB in bytes, or a plain number.
pub fn meminfo(text: &str, name: &str) -> Option<u64> {
    let rest = row(text, name)?.strip_prefix(':')?.trim();
    match rest.strip_suffix(" kB") {
        Some(kib) => kib.trim().parse::<u64>().ok().map(|kib| kib * 1024),
        None => rest.parse().ok(),
    }
}

/// A setting of a unit of systemd; the last one counts.
pub fn unit_setting<'a>(unit: &'a str, name: &str) -> Option<&'a str> {
    let value = |line: &'a str| line.trim().strip_prefix(name)?.trim_start().strip_prefix('=');
    unit.lines().filter_map(value).next_back().map(str::trim)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_read_as_they_are_written() {
        for text in ["", "3", "0-2,7", "1,3,5-6"] {
            assert_eq!(list_text(&list(text)), text);
        }
        assert_eq!(list("managed_irq,domain,2-3\n"), [2, 3]);
        assert_eq!(chosen("always [madvise] never"), "madvise");
        assert_eq!(chosen("tsc\n"), "tsc");
        assert_eq!(parameter("quiet rcu_nocbs=2-3 isolcpus=2", "rcu_nocbs"), Some("2-3"));
    }

    #[test]
    fn routes_and_addresses_are_read() {
        let table = "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\tWindow\tIRTT\n\
            eth0\t00000000\t010200C0\t0003\t0\t0\t0\t00000000\t0\t0\t0\n\
            eth1\t00004D0A\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n";
        let routes = routes(table);
        let by = |text: &str| route_to(&routes, text.parse().unwrap()).map(|route| route.interface.clone());
        assert_eq!((by("10.77.0.9").as_deref(), by("10.78.0.9").as_deref()), (Some("eth1"), Some("eth0")));
        let trie = "Main:\n  |-- 10.77.0.0\n     /24 link UNICAST\n  |-- 10.77.0.1\n     /32 host LOCAL\nLocal:\n  \
            |-- 10.77.0.1\n     /32 host LOCAL\n";
        assert_eq!(own_addresses(trie), [Ipv4Addr::new(10, 77, 0, 1)]);
    }

    #[test]
    fn counters_limits_mounts_and_units_are_read() {
        let snmp_text = "Ip: A B\nIp: 1 2\nUdp: InDatagrams RcvbufErrors\nUdp: 7 9\n";
        assert_eq!(snmp(snmp_text, "Udp", "RcvbufErrors"), Some(9));
        assert_eq!(softnet("00000010 00000002 0\n00000000 00000003 0\n", 1), 5);
        let limits = "Limit   Soft  Hard  Units\nMax locked memory  8388608  unlimited  bytes\n";
        assert_eq!(limit(limits, "Max locked memory"), Some(8_388_608));
        let mounts = "/dev/vda / ext4 rw 0 0\ntmpfs /dev/shm tmpfs rw,size=1k 0 0\n";
        assert_eq!(mount_of(mounts, "/dev/shm/a.tail"), Some(("tmpfs", "rw,size=1k")));
        assert_eq!(mount_of(mounts, "/dev/shmem"), Some(("ext4", "rw")));
        assert_eq!(meminfo("MemAvailable:   12 kB\nHugePages_Free:  3\n", "MemAvailable"), Some(12_288));
        assert_eq!(meminfo("MemAvailable:   12 kB\nHugePages_Free:  3\n", "HugePages_Free"), Some(3));
        assert_eq!(unit_setting("[Service]\nUser=a\nUser=b\n", "User"), Some("b"));
    }

    #[test]
    fn interrupts_of_a_card_are_found_by_its_name_and_not_by_a_part_of_it() {
        let text = "  CPU0 CPU1\n 41:  3 4 PCI-MSIX-0000:00:04.0 1-edge eth1-rx-0\n 42: 3 4 PCI-MSI 2-edge eth10-rx\n";
        assert_eq!(interrupts(text, "eth1"), [(41, "eth1-rx-0".to_owned())]);
    }
}
