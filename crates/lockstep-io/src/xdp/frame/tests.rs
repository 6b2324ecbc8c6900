//! Valid frames byte for byte, and every kind of invalid one.

use super::*;

const FROM: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(10, 77, 0, 1), 7700);
const TO: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(239, 205, 1, 2), 7700);
const MAC: Mac = [2, 4, 6, 8, 10, 12];

fn template(vlan: Option<u16>) -> Template {
    Template::new((MAC, multicast_mac(*TO.ip())), vlan, FROM, TO, 3)
}

fn frame(vlan: Option<u16>, datagram: &[u8]) -> Vec<u8> {
    let mut frame = vec![0xff; 2048];
    let (front, back) = datagram.split_at(datagram.len() / 3);
    let len = template(vlan).write(&mut frame, [front, back]).unwrap();
    frame.truncate(len);
    frame
}

/// Checks the IPv4 header's checksum by the rule: the sum of all words is all ones.
fn checksum_holds(header: &[u8]) -> bool {
    let mut sum: u32 = header.chunks(2).map(|word| u32::from(u16::from_be_bytes([word[0], word[1]]))).sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    sum == 0xffff
}

#[test]
fn a_frame_to_a_group_is_these_bytes() {
    let expected = [
        0x01, 0x00, 0x5e, 0x4d, 0x01, 0x02, // 239.205.1.2: the upper bit of 205 is not in it
        2, 4, 6, 8, 10, 12, 0x08, 0x00, // from our card, IPv4
        0x45, 0, 0, 32, 0, 0, 0x40, 0, // 20 + 8 + 4 bytes, do not fragment
        3, 17, 0x7c, 0xb0, // ttl, UDP, checksum
        10, 77, 0, 1, 239, 205, 1, 2, // addresses
        0x1e, 0x14, 0x1e, 0x14, 0, 12, 0, 0, // ports, 8 + 4 bytes, no checksum
        b'a', b'b', b'c', b'd', //
    ];
    let frame = frame(None, b"abcd");
    assert!(checksum_holds(&frame[14..34]));
    assert_eq!(frame[24..26], expected[24..26], "the checksum, worked out by hand");
    assert_eq!(frame[..46], expected);
    assert_eq!(
        frame[46..],
        [0; 14],
        "filled up to Ethernet's shortest, with nothing of what was there before"
    );
}

#[test]
fn a_tag_stands_between_the_addresses_and_the_rest_which_is_the_same() {
    let (plain, tagged) = (frame(None, &[7; 100]), frame(Some(0x123), &[7; 100]));
    assert_eq!(tagged[..12], plain[..12]);
    assert_eq!(tagged[12..16], [0x81, 0x00, 0x01, 0x23]);
    assert_eq!(tagged[16..], plain[12..]);
}

#[test]
fn what_is_written_is_found_again_at_every_length_tagged_and_not() {
    for vlan in [None, Some(1), Some(4094)] {
        for len in [0, 1, 17, 18, 19, 64, 1471, 1472] {
            let datagram: Vec<u8> = (0..len).map(|index| index as u8 | 1).collect();
            let frame = frame(vlan, &datagram);
            let ip = 14 + if vlan.is_some() { 4 } else { 0 };
            assert!(checksum_holds(&frame[ip..ip + 20]), "{len} bytes");
            let found = parse(&frame, vlan).unwrap();
            assert_eq!((found.from, found.to, found.len), (FROM, TO, len as usize));
            assert_eq!(frame[found.at..found.at + found.len], datagram);
        }
    }
}

#[test]
fn a_template_to_another_card_and_address_is_as_one_made_for_it() {
    let (mac, to) = ([9, 8, 7, 6, 5, 4], SocketAddrV4::new(Ipv4Addr::new(192, 168, 255, 254), 65_535));
    for vlan in [None, Some(77)] {
        let mut frames = [[0; 200]; 2];
        let made = Template::new((MAC, mac), vlan, FROM, to, 3);
        for (template, frame) in [template(vlan).to(mac, to), made].iter().zip(&mut frames) {
            template.write(frame, [&[1; 90], &[]]).unwrap();
        }
        assert_eq!(frames[0], frames[1]);
    }
}

#[test]
fn what_has_no_room_in_the_frame_or_in_sixteen_bits_is_not_written() {
    let template = template(None);
    assert_eq!(template.write(&mut [0; 141], [&[0; 50], &[0; 50]]), None);
    assert_eq!(template.write(&mut [0; 142], [&[0; 50], &[0; 50]]), Some(142));
    assert_eq!(template.write(&mut [0; 59], [&[], &[]]), None);
    let mut large = vec![0; 100_000];
    assert_eq!(template.write(&mut large, [&[0; 65_507], &[]]), Some(65_549));
    assert_eq!(template.write(&mut large, [&[0; 65_508], &[]]), None);
    assert_eq!(template.write(&mut large, [&[0; 65_530], &[]]), None);
}

#[test]
fn a_frame_that_is_cut_off_anywhere_is_none() {
    for vlan in [None, Some(5)] {
        let frame = frame(vlan, &[3; 40]);
        for len in 0..frame.len() {
            assert_eq!(parse(&frame[..len], vlan), None, "{len} bytes of {}", frame.len());
        }
    }
}

/// The frame with some bytes changed, behind the Ethernet header, and the checksum corrected.
fn changed(changes: &[(usize, u8)]) -> Vec<u8> {
    let mut frame = frame(None, &[3; 40]);
    for (at, byte) in changes {
        frame[14 + at] = *byte;
    }
    if !changes.iter().any(|(at, _)| (10..12).contains(at)) {
        frame[24..26].fill(0);
        let sum = !fold(sum_words(&frame[14..34]));
        frame[24..26].copy_from_slice(&sum.to_be_bytes());
    }
    frame
}

#[test]
fn options_fragments_other_protocols_and_lengths_that_lie_are_refused() {
    assert!(parse(&changed(&[]), None).is_some());
    assert!(parse(&changed(&[(6, 0x00)]), None).is_some(), "it need not forbid fragments");
    assert!(parse(&changed(&[(1, 0xb8), (8, 1), (26, 0xab)]), None).is_some(), "service, ttl, UDP checksum");
    for (why, changes) in [
        ("version 6", &[(0, 0x65)][..]),
        ("options", &[(0, 0x46)]),
        ("a header too short", &[(0, 0x44)]),
        ("TCP", &[(9, 6)]),
        ("more fragments", &[(6, 0x20)]),
        ("the last fragment", &[(7, 0x10)]),
        ("a wrong checksum", &[(10, 1), (11, 1)]),
        ("a packet longer than its frame", &[(3, 69), (25, 49)]),
        ("a packet of nothing", &[(3, 20), (25, 0)]),
        ("a datagram shorter than its header", &[(3, 27), (25, 7)]),
        ("a datagram longer than its packet", &[(25, 49)]),
        ("a datagram shorter than its packet", &[(25, 47)]),
        ("a length of 65,535", &[(2, 0xff), (3, 0xff), (24, 0xff), (25, 0xff)]),
    ] {
        assert_eq!(parse(&changed(changes), None), None, "{why}");
    }
    let mut frame = changed(&[]);
    frame[12..14].copy_from_slice(&[0x86, 0xdd]);
    assert_eq!(parse(&frame, None), None, "IPv6");
}

#[test]
fn a_tag_is_taken_if_and_only_if_it_is_the_one_agreed_upon_whatever_its_priority() {
    let (plain, tagged) = (frame(None, &[1; 60]), frame(Some(100), &[1; 60]));
    assert_eq!((parse(&plain, Some(100)), parse(&tagged, None)), (None, None));
    assert_eq!(parse(&tagged, Some(101)), None);
    let mut urgent = tagged.clone();
    urgent[14] |= 0xe0;
    assert!(parse(&urgent, Some(100)).is_some());
    let mut double = tagged[..16].to_vec();
    double.extend_from_slice(&tagged[12..]);
    assert_eq!(parse(&double, Some(100)), None, "a tag in a tag");
    let mut service = tagged;
    service[12..14].copy_from_slice(&[0x88, 0xa8]);
    assert_eq!(parse(&service, Some(100)), None, "802.1ad");
}

#[test]
fn padding_behind_the_packet_is_not_part_of_the_datagram() {
    let mut frame = frame(None, b"x");
    frame.extend_from_slice(&[0xee; 40]);
    assert_eq!(parse(&frame, None).map(|datagram| datagram.len), Some(1));
}
