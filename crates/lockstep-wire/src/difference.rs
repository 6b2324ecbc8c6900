//! Whether the files of a cluster's hosts have the same values for the keys that all must have alike.
//!
//! Each process reports the values that are in force for it. A host whose file was corrected, and whose
//! processes were not restarted, still differs.

use super::AgreedRow;
use std::collections::BTreeSet;
use std::fmt;

/// A process whose values are compared.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct AgreedOwner {
    /// The number of the replica or archiver.
    pub number: u32,
    /// Whether it is an archiver; otherwise a replica.
    pub is_archiver: bool,
}

/// A key that differs, with each of its values: the most frequent one first.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct KeyDifference {
    /// The key's path, like `lines.1.control`.
    pub key: String,
    /// The key as a number ([`AgreedRow::place`]).
    pub place: u32,
    /// Each value with the processes that have it; `None` for processes without the key.
    values: Vec<(Option<AgreedRow>, Vec<AgreedOwner>)>,
}

impl KeyDifference {
    /// The value that most processes have, with these processes; `None` if no value is ahead of all others.
    pub fn usual(&self) -> Option<(Option<AgreedRow>, &[AgreedOwner])> {
        let (first, second) = (self.values.first()?, self.values.get(1)?);
        (first.1.len() > second.1.len()).then_some((first.0, &first.1))
    }

    /// The processes that have another value than most; all processes if no value is ahead.
    pub fn culprits(&self) -> Vec<AgreedOwner> {
        let usual = usize::from(self.usual().is_some());
        let mut culprits: Vec<_> =
            self.values[usual..].iter().flat_map(|(_, owners)| owners).copied().collect();
        culprits.sort_unstable();
        culprits
    }

    /// Whether a value is ahead, so that those with another one are at fault.
    pub fn has_culprits(&self) -> bool {
        self.usual().is_some()
    }
}

/// Values as the file spells them. If all are addresses with one port, the port is left out.
fn value_texts(values: &[Option<AgreedRow>]) -> Vec<String> {
    let addresses: Option<Vec<_>> = values.iter().map(|value| value.as_ref()?.address()).collect();
    if let Some(addresses) = addresses
        && addresses.windows(2).all(|pair| pair[0].port() == pair[1].port())
    {
        return addresses.iter().map(|address| address.ip().to_string()).collect();
    }
    let text = |value: &Option<AgreedRow>| value.map_or_else(|| "(not set)".to_owned(), |row| row.text());
    values.iter().map(text).collect()
}

/// `lines.1.control is 239.77.1.4, on 1 and 3 239.77.1.3`, for the processes that differ; if no value is
/// ahead, `lines.1.control is 239.77.1.3 on 1, 239.77.1.4 on 2`.
impl fmt::Display for KeyDifference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is ", self.key)?;
        let usual = self.usual();
        let texts = value_texts(&self.values.iter().map(|(value, _)| *value).collect::<Vec<_>>());
        let skipped = usize::from(usual.is_some());
        let others = self.values.iter().zip(&texts).skip(skipped);
        let is_one = others.len() == 1;
        for (place, ((_, owners), text)) in others.enumerate() {
            let separator = if place > 0 { ", " } else { "" };
            write!(f, "{separator}{text}")?;
            if !is_one {
                write!(f, " on {}", owner_numbers(owners))?;
            }
        }
        match usual {
            Some((_, owners)) => write!(f, ", on {} {}", owner_numbers(owners), texts[0]),
            None => Ok(()),
        }
    }
}

/// `1`, `1 and 2`, `1, 2 and 3`.
fn owner_numbers(owners: &[AgreedOwner]) -> String {
    let words: Vec<_> = owners.iter().map(|owner| owner.number.to_string()).collect();
    match &words[..] {
        [] => String::new(),
        [one] => one.clone(),
        [all @ .., last] => format!("{} and {last}", all.join(", ")),
    }
}

/// The keys that differ between these processes, in the order of the reference. A key that only a later
/// release knows is left out.
pub fn differences(files: &[(AgreedOwner, &[AgreedRow])]) -> Vec<KeyDifference> {
    let places: BTreeSet<u32> = files.iter().flat_map(|(_, rows)| *rows).map(AgreedRow::place).collect();
    let difference = |place: u32| {
        let of = |rows: &[AgreedRow]| rows.iter().find(|row| row.place() == place).copied();
        let mut values: Vec<(Option<AgreedRow>, Vec<AgreedOwner>)> = Vec::new();
        for (owner, rows) in files {
            let value = of(rows);
            match values.iter_mut().find(|(known, _)| *known == value) {
                Some((_, owners)) => owners.push(*owner),
                None => values.push((value, vec![*owner])),
            }
        }
        // The sort is stable: of equally frequent values the first one seen comes first.
        values.sort_by_key(|(_, owners)| std::cmp::Reverse(owners.len()));
        let key = values.iter().find_map(|(value, _)| *value)?.path()?;
        (values.len() > 1).then_some(KeyDifference { key, place, values })
    };
    places.into_iter().filter_map(difference).collect()
}

/// The keys of which the asker's `file` has another value than all `nodes`, which agree: each with both
/// values.
pub fn differs_here(file: &[AgreedRow], nodes: &[&[AgreedRow]]) -> Vec<FileDifference> {
    let Some((first, rest)) = nodes.split_first() else { return Vec::new() };
    let of = |rows: &[AgreedRow], place| rows.iter().find(|row| row.place() == place).copied();
    let places: BTreeSet<u32> = file.iter().chain(*first).map(AgreedRow::place).collect();
    let difference = |place: u32| {
        let (here, there) = (of(file, place), of(first, place));
        let is_agreed = rest.iter().all(|rows| of(rows, place) == there);
        let key = here.or(there)?.path()?;
        (is_agreed && here != there).then_some(FileDifference { key, here, there })
    };
    places.into_iter().filter_map(difference).collect()
}

/// A key of which the asker's own file has another value than all nodes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FileDifference {
    /// The key's path.
    pub key: String,
    /// Its value in the asker's file.
    pub here: Option<AgreedRow>,
    /// Its value at the nodes.
    pub there: Option<AgreedRow>,
}

impl fmt::Display for FileDifference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let texts = value_texts(&[self.here, self.there]);
        write!(f, "{} is {}, at the nodes {}", self.key, texts[0], texts[1])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(pairs: &[(&str, &str)]) -> Vec<AgreedRow> {
        pairs.iter().map(|(path, value)| AgreedRow::new(path, value).expect("a key")).collect()
    }

    const CONTROL: &str = "lines.1.control";

    fn usual() -> Vec<AgreedRow> {
        rows(&[(CONTROL, "239.77.1.3:7700"), ("lines.1.mtu", "1500"), ("security.mode", "keys")])
    }

    fn compared(files: &[(u32, Vec<AgreedRow>)]) -> Vec<String> {
        let owner = |number: u32| AgreedOwner { number, is_archiver: number > 100 };
        let files: Vec<_> = files.iter().map(|(number, rows)| (owner(*number), &rows[..])).collect();
        differences(&files).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn each_key_that_differs_at_any_node_is_named_with_both_values() {
        let others = [
            ("lines.1.submit", "239.77.1.1:7700", "239.77.9.1:7700"),
            ("lines.1.data", "239.77.1.2:7700", "239.77.9.2:7700"),
            (CONTROL, "239.77.1.3:7700", "239.77.1.4:7700"),
            (CONTROL, "239.77.1.3:7700", "239.77.1.3:7800"),
            ("lines.2.mtu", "1500", "9000"),
            ("lines.1.transport", "udp", "unicast"),
            ("security.mode", "keys", "none"),
            ("replicas.2.transport", "auto", "unicast"),
            ("archivers.101.transport", "unicast", "udp"),
        ];
        for (key, most, one) in others {
            for culprit in [1, 2, 3, 101] {
                let of = |number| rows(&[(key, if number == culprit { one } else { most })]);
                let files = [1, 2, 3, 101].map(|number| (number, of(number)));
                let wrong_row = (Some(of(culprit)[0]), Some(of(culprit + 1)[0]));
                let texts = value_texts(&[wrong_row.0, wrong_row.1]);
                let (wrong, right) = (&texts[0], &texts[1]);
                let [shown] = &compared(&files)[..] else { panic!("{key} at {culprit}") };
                assert!(shown.starts_with(&format!("{key} is {wrong}, on ")), "{shown}");
                assert!(shown.ends_with(right) && !shown.contains(&format!(" {culprit},")), "{shown}");
            }
        }
    }

    #[test]
    fn a_key_that_one_lacks_differs_and_of_two_hosts_none_is_at_fault() {
        let short = rows(&[(CONTROL, "239.77.1.3:7700"), ("security.mode", "keys")]);
        let shown = compared(&[(1, usual()), (2, short.clone()), (3, usual())]);
        assert_eq!(shown, ["lines.1.mtu is (not set), on 1 and 3 1500"]);
        let shown = compared(&[(1, usual()), (2, short)]);
        assert_eq!(shown, ["lines.1.mtu is 1500 on 1, (not set) on 2"]);
        assert!(compared(&[(1, usual()), (2, usual())]).is_empty() && compared(&[(1, usual())]).is_empty());
    }

    #[test]
    fn udp_and_xdp_may_differ_and_a_key_of_a_later_release_is_left_out() {
        let transport = |word| rows(&[("lines.1.transport", word)]);
        assert!(compared(&[(1, transport("udp")), (2, transport("xdp"))]).is_empty());
        let later = |number| vec![AgreedRow::of_numbers(99 << 16, number)];
        assert!(compared(&[(1, later(1)), (2, later(2))]).is_empty());
    }

    #[test]
    fn the_file_of_whoever_asks_is_compared_with_nodes_that_agree() {
        let here = rows(&[(CONTROL, "239.77.1.4:7700"), ("lines.1.mtu", "1500"), ("security.mode", "keys")]);
        let (usual, other) = (usual(), here.clone());
        let shown = |nodes: &[&[AgreedRow]]| -> Vec<String> {
            differs_here(&here, nodes).iter().map(ToString::to_string).collect()
        };
        let sentence = "lines.1.control is 239.77.1.4, at the nodes 239.77.1.3";
        assert_eq!(shown(&[&usual, &usual]), [sentence]);
        assert!(shown(&[&usual, &other]).is_empty(), "the nodes differ: that is shown of them");
        assert!(shown(&[]).is_empty() && shown(&[&other]).is_empty());
    }
}
