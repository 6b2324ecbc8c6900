//! The tables, and the checks by them.

use super::*;
use crate::fix::codec::put;

fn fields(text: &str) -> Vec<u8> {
    text.replace('|', "\x01").into_bytes()
}

fn fault_of(text: &str) -> Option<(u32, u32)> {
    let body = fields(text);
    let (read, fault) = FixFields::parse(&body);
    let fault = fault.or_else(|| super::fault(&read))?;
    Some((fault.tag.unwrap_or(0), fault.reason))
}

const HEAD: &str = "34=2|49=alice|56=LOCKSTEP|52=20261121-10:00:00|";
const ORDER: [(u32, &str); 7] =
    [(11, "a"), (55, "ABC"), (54, "1"), (38, "10"), (40, "2"), (44, "10.5"), (60, "20261121-10:00:00")];

fn order_with(more: &str) -> String {
    let fields: String = ORDER.iter().map(|(tag, value)| format!("{tag}={value}|")).collect();
    format!("35=D|{HEAD}{fields}{more}")
}

#[test]
fn the_tables_are_sorted_and_name_each_tag_once() {
    assert!(DATA_FIELDS.windows(2).all(|pair| pair[0].0 < pair[1].0));
    assert!(BY_DATA.windows(2).all(|pair| pair[0].1 < pair[1].1));
    assert!(GROUPS.windows(2).all(|pair| pair[0][0] < pair[1][0]));
    for row in GROUPS {
        let mut tags = row.to_vec();
        tags.sort_unstable();
        tags.dedup();
        assert!(row.len() > 1 && tags.len() == row.len(), "{row:?}");
    }
    for (length, data) in DATA_FIELDS {
        assert_eq!((data_of(length), length_of(data)), (Some(data), Some(length)));
        assert_eq!((data_of(data), length_of(length)), (None, None));
    }
}

/// The gateway takes the first field of a tag, so none of the fields that it reads may stand within a group.
#[test]
fn no_field_that_the_gateway_reads_is_one_of_a_group() {
    let read = REQUIRED.iter().map(|(_, tag, _)| *tag).chain(HEADER);
    for tag in read.chain([18, 43, 47, 59, 96, 110, 111, 122, 123, 141, 528, 553, 554]) {
        assert!(GROUPS.iter().all(|row| !row.contains(&tag)), "{tag}");
    }
}

#[test]
fn a_tag_that_is_there_twice_is_named_whichever_it_is_and_whatever_stands_between() {
    assert_eq!(fault_of(&order_with("")), None);
    for (tag, value) in ORDER {
        for again in [value, "9"] {
            assert_eq!(fault_of(&order_with(&format!("{tag}={again}|"))), Some((tag, 13)), "{tag}");
            let text = order_with(&format!("453=1|448=A|447=D|452=1|{tag}={again}|"));
            assert_eq!(fault_of(&text), Some((tag, 13)), "{tag} behind a group");
            let text = order_with(&format!("453=2|448=A|{tag}={again}|448=B|"));
            assert!(fault_of(&text).is_some(), "{tag} within a group");
        }
    }
    for tag in [1, 18, 21, 34, 49, 52, 56, 58, 59, 110, 111, 528, 5_001, 60_000] {
        let text = order_with(&format!("{tag}=1|58=between|{tag}=1|").replace("58=between|58", "58"));
        assert_eq!(fault_of(&text), Some((tag, 13)), "{tag}");
    }
    assert_eq!(fault_of(&format!("35=0|{HEAD}112=a|112=b|")), Some((112, 13)));
    assert_eq!(fault_of(&format!("35=4|{HEAD}36=5|123=Y|36=9|")), Some((36, 13)));
    assert_eq!(fault_of(&format!("35=2|{HEAD}7=1|16=0|7=5|")), Some((7, 13)));
    // Of an unsupported message only the header is checked, and no group is known.
    assert_eq!(fault_of(&format!("35=V|{HEAD}146=2|55=A|55=B|")), None);
    assert_eq!(fault_of(&format!("35=V|{HEAD}34=3|")), Some((34, 13)));
}

#[test]
fn members_of_groups_repeat_with_their_entries_and_groups_within_groups_too() {
    for more in [
        "453=2|448=A|447=D|452=1|448=B|447=D|452=3|",
        "453=2|448=A|447=D|452=1|802=2|523=x|803=1|523=y|803=2|448=B|447=D|452=3|",
        "453=0|",
        "78=2|79=one|80=4|79=two|80=6|",
        "386=2|336=a|336=b|",
        "454=1|455=X|456=4|453=1|448=A|447=D|452=1|",
        "453=2|448=A|447=D|5001=x|448=B|447=D|5001=y|",
    ] {
        assert_eq!(fault_of(&order_with(more)), None, "{more}");
    }
    for (more, tag, reason) in [
        ("453=2|448=A|447=D|452=1|", 453, 16),
        ("453=1|448=A|448=B|", 453, 16),
        ("386=3|336=a|336=b|58=x|", 386, 16),
        ("453=x|448=A|", 453, 6),
        ("453=1|447=D|448=A|", 447, 15),
        ("453=1|448=A|447=D|447=E|", 447, 13),
        ("453=1|448=A|453=1|448=B|", 453, 13),
        ("448=A|448=B|", 448, 13),
        ("453=0|448=A|", 453, 16),
    ] {
        assert_eq!(fault_of(&order_with(more)), Some((tag, reason)), "{more}");
    }
}

#[test]
fn each_field_that_the_table_requires_is_named_when_it_is_not_there() {
    for (kind, tag, when) in REQUIRED {
        let kind = if kind.is_empty() { tags::HEARTBEAT } else { kind };
        let mut body = Vec::new();
        put(&mut body, 35, String::from_utf8_lossy(kind));
        let of_kind = REQUIRED.iter().filter(|(of, ..)| of.is_empty() || *of == kind);
        for (_, other, _) in of_kind.filter(|(_, other, _)| other != tag) {
            put(&mut body, *other, if *other == 40 { "2" } else { "7" });
        }
        let (read, fault) = FixFields::parse(&body);
        let named = fault.or_else(|| super::fault(&read));
        assert_eq!(named.map(|fault| (fault.tag, fault.reason)), Some((Some(*tag), 1)), "{when:?}");
    }
    let market = order_with("").replace("40=2|44=10.5|", "40=1|");
    assert_eq!(fault_of(&market), None, "a market order has no price");
}

/// Data of any length may contain anything, also bytes that look like a field that the gateway reads.
#[test]
fn for_each_pair_of_length_and_data_no_field_within_the_data_is_read() {
    for (length, data) in DATA_FIELDS {
        for (tag, _) in ORDER.into_iter().chain([(34, ""), (43, ""), (35, ""), (10, ""), (data, "")]) {
            for inside in
                [format!("x\x01{tag}=77"), format!("\x01{tag}=77\x01"), format!("{tag}=77\x01{tag}=78")]
            {
                let more = format!("{length}={}|{data}={inside}|", inside.len());
                for text in [order_with(&more), order_with("").replace("55=ABC|", &format!("{more}55=ABC|"))]
                {
                    let body = fields(&text);
                    let (read, fault) = FixFields::parse(&body);
                    assert_eq!(fault.or_else(|| super::fault(&read)), None, "{length} and {tag}");
                    let own = ORDER.iter().all(|(tag, value)| read.get(*tag) == Some(value.as_bytes()));
                    assert!(own && read.get(data) == Some(inside.as_bytes()), "{length} and {tag}");
                }
            }
        }
    }
}

#[test]
fn data_without_its_length_before_it_and_a_length_without_its_data_behind_it_are_refused() {
    for (length, data) in DATA_FIELDS {
        for (more, tag, reason) in [
            (format!("{data}=abc|"), length, 1),
            (format!("{data}=abc|44=77|"), length, 1),
            (format!("{length}=3|58=x|{data}=abc|"), data, 1),
            (format!("{length}=3|"), data, 1),
            (format!("{length}=x|{data}=abc|"), length, 6),
            (format!("{length}=-3|{data}=abc|"), length, 6),
            (format!("{length}=2|{data}=abc|"), data, 6),
            (format!("{length}=5|{data}=abc|"), data, 6),
            (format!("{length}=4096|{data}=abc|"), data, 6),
            (format!("{length}=18446744073709551615|{data}=abc|"), data, 6),
            (format!("{length}=0|{data}=|"), data, 4),
        ] {
            let text = order_with(&more);
            assert_eq!(fault_of(&text), Some((tag, reason)), "{more}");
        }
    }
}
