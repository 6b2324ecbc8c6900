//! The promises, each once, for any network.
//!
//! The datagrams here show by themselves which they are and whether they are whole: they have a number, and
//! bytes that follow from it and from their length. At the offset of our kind they have one too, of groups or
//! of unicast, as a network may look at it.

use lockstep_core::engine::ports::{Burst, Group, Net};
use lockstep_io::fault_injection::{FaultInjector, FaultSettings};
use lockstep_wire::{Header, Kind};
use std::collections::BTreeMap;
use std::net::SocketAddrV4;
use std::time::{Duration, Instant};

/// The largest datagram of every device here: what Ethernet carries.
pub const LEN_MAX: usize = 1472;
/// The least number of bytes that wait to be received, in every device here.
pub const BUFFER_BYTES: usize = 256 << 10;
/// The least number of devices that a network has room for.
pub const NODES: usize = 3;
/// A datagram that has not come by then never will.
const PATIENCE: Duration = Duration::from_secs(20);
/// A duplicate comes by then.
const REST: Duration = Duration::from_millis(30);

/// The offset of a datagram's kind, if it is long enough to have one.
pub const KIND_AT: usize = std::mem::offset_of!(Header, kind);
/// The kinds that are sent to groups here, and by unicast.
const FOR_GROUPS: Kind = Kind::Heartbeat;
const FOR_ONE: Kind = Kind::Query;

/// A network of some kind, on which devices are opened.
pub trait Ether {
    /// Its devices.
    type Net: Net;
    /// The shortest datagram that it carries; a shorter one has no room for its number.
    const LEN_MIN: usize = 4;
    /// Whether a device counts what it drops for want of room.
    const COUNTS_LOSSES: bool = true;
    /// Opens the device of this seat, which has the same address each time. The former one is gone by then.
    fn open(&mut self, node: usize) -> Self::Net;
    /// The address of a device.
    fn address(&self, net: &Self::Net) -> SocketAddrV4;
    /// If senders must learn which device wants which group: lets two devices turn until they know. Other
    /// networks do nothing, and a wish holds at once.
    fn settle(&self, _one: &mut Self::Net, _other: &mut Self::Net) {}
    /// The refusal of a device that should carry longer datagrams than the network does; `None` if it knows
    /// no such limit.
    fn refusal(&mut self, _datagram_len_max: usize) -> Option<String> {
        None
    }
    /// A stranger sends this to the group of data; does nothing where only our devices can send.
    fn outsider_says(&mut self, _bytes: &[u8]) {}
}

/// The `number`th datagram of this length and kind.
fn datagram(kind: Kind, number: u32, len: usize) -> Vec<u8> {
    let mut bytes: Vec<u8> =
        (0..len as u32).map(|at| (at ^ number.wrapping_mul(31)) as u8 ^ len as u8).collect();
    for (to, from) in bytes.iter_mut().zip(number.to_le_bytes()) {
        *to = from;
    }
    if let Some(at) = bytes.get_mut(KIND_AT) {
        *at = kind as u8;
    }
    bytes
}

/// Its number, if it is whole and of this kind.
#[track_caller]
fn number(kind: Kind, bytes: &[u8]) -> u32 {
    let number = bytes.first_chunk().map(|head| u32::from_le_bytes(*head)).expect("a number");
    assert_eq!(
        bytes,
        datagram(kind, number, bytes.len()),
        "datagram {number} is torn, or came the wrong way"
    );
    number
}

/// The numbers of received group datagrams.
#[track_caller]
fn numbers(came: &[Vec<u8>]) -> Vec<u32> {
    came.iter().map(|bytes| number(FOR_GROUPS, bytes)).collect()
}

/// The datagrams that one receive lends.
fn groups(net: &mut impl Net) -> Vec<Vec<u8>> {
    (0..net.recv_groups()).map(|index| net.group_datagram(index).to_vec()).collect()
}

fn unicast(net: &mut impl Net) -> Vec<(Vec<u8>, SocketAddrV4)> {
    let count = net.recv_unicast();
    (0..count).map(|index| net.unicast_datagram(index)).map(|(bytes, from)| (bytes.to_vec(), from)).collect()
}

/// Receives until `count` datagrams have come, and those that come within a moment after.
#[track_caller]
fn hear<T>(count: usize, mut receive: impl FnMut() -> Vec<T>) -> Vec<T> {
    let (mut received, mut last) = (Vec::new(), Instant::now());
    loop {
        let came = receive();
        if !came.is_empty() {
            last = Instant::now();
            received.extend(came);
        } else if received.len() >= count && last.elapsed() > REST {
            return received;
        }
        assert!(last.elapsed() < PATIENCE, "{} of {count} have come", received.len());
        std::thread::yield_now();
    }
}

/// Receives `count` group datagrams, each once, and returns their numbers in order. A device may receive what
/// it sends itself, so here only others send.
#[track_caller]
fn numbers_received(net: &mut impl Net, count: usize) -> Vec<u32> {
    let numbers = numbers(&hear(count, || groups(net)));
    assert_eq!(numbers.len(), count, "{numbers:?}");
    numbers
}

/// Offers datagrams until all are taken.
#[track_caller]
fn say(net: &mut impl Net, group: Group, bytes: &[u8], stride: usize) {
    let (mut taken, begun) = (0, Instant::now());
    while taken < bytes.len().div_ceil(stride) {
        taken += net.send_group(group, &[Burst { bytes: &bytes[taken * stride..], stride }]);
        assert!(begun.elapsed() < PATIENCE, "{taken} were taken, and no more are");
    }
}

/// Sends numbered datagrams of one length.
fn count_up(net: &mut impl Net, group: Group, numbers: std::ops::Range<u32>, len: usize) {
    let bytes: Vec<u8> = numbers.flat_map(|number| datagram(FOR_GROUPS, number, len)).collect();
    say(net, group, &bytes, len);
}

/// Two devices that know each other.
fn two<E: Ether>(ether: &mut E) -> (E::Net, E::Net) {
    let (mut a, mut b) = (ether.open(0), ether.open(1));
    meet(ether, &mut a, &mut b);
    (a, b)
}

/// Unicast to a neighbour that a network has to find first may be lost, and so may a group datagram whose
/// sender does not know yet which devices want it.
fn meet<E: Ether>(ether: &E, one: &mut E::Net, other: &mut E::Net) {
    greet(ether, one, other);
    greet(ether, other, one);
    ether.settle(one, other);
}

fn greet<E: Ether>(ether: &E, from: &mut E::Net, to: &mut E::Net) {
    let (address, begun) = (ether.address(to), Instant::now());
    loop {
        let _ = from.send_unicast(address, [&datagram(FOR_ONE, 0, 64), b""]);
        std::thread::sleep(Duration::from_millis(1));
        if !unicast(to).is_empty() {
            break;
        }
        assert!(begun.elapsed() < PATIENCE, "{address} is not reached");
    }
    hear(0, || unicast(to));
}

pub fn datagrams_of_every_size_up_to_the_greatest_pass_whole_by_groups_and_by_unicast<E: Ether>(
    ether: &mut E,
) {
    let (mut a, mut b) = two(ether);
    let to = ether.address(&b);
    let lens = [4, 5, 6, 7, 8, 9, 17, 63, 64, 65, 511, 512, 1023, LEN_MAX - 1, LEN_MAX];
    let lens: Vec<usize> = lens.into_iter().filter(|len| *len >= E::LEN_MIN).collect();
    for (number, &len) in (0..).zip(&lens) {
        say(&mut a, Group::ALL[number as usize % 3], &datagram(FOR_GROUPS, number, len), len);
        // Its two parts are cut anywhere, and one may be empty.
        let bytes = datagram(FOR_ONE, number, len);
        let (head, tail) = bytes.split_at(len * number as usize / lens.len());
        assert!(a.send_unicast(to, [head, tail]), "{len} bytes");
    }
    assert_eq!(numbers_received(&mut b, lens.len()), (0..lens.len() as u32).collect::<Vec<_>>());
    let datagrams = hear(lens.len(), || unicast(&mut b));
    let numbers: Vec<u32> = datagrams.iter().map(|(bytes, _)| number(FOR_ONE, bytes)).collect();
    assert_eq!(numbers, (0..lens.len() as u32).collect::<Vec<_>>());
    let from = ether.address(&a);
    assert!(datagrams.iter().all(|datagram| datagram.1 == from), "an answer to {from} would reach who spoke");
}

pub fn one_byte_above_the_greatest_is_refused_and_what_stands_in_front_of_it_is_sent(ether: &mut impl Ether) {
    let (mut a, mut b) = two(ether);
    let [first, second] = [0, 1].map(|number| datagram(FOR_GROUPS, number, 300));
    let (small, large) = ([first, second].concat(), datagram(FOR_GROUPS, 2, LEN_MAX + 1));
    let bursts = [(&small, 300), (&large, LEN_MAX + 1), (&small, 300)];
    let sent = a.send_group(Group::Data, &bursts.map(|(bytes, stride)| Burst { bytes, stride }));
    assert_eq!(sent, 2);
    assert_eq!(a.send_group(Group::Data, &[Burst { bytes: &large, stride: usize::MAX }]), 0);
    let large = datagram(FOR_ONE, 3, LEN_MAX + 1);
    assert!(!a.send_unicast(ether.address(&b), [&large[..700], &large[700..]]));
    assert_eq!(numbers_received(&mut b, 2), [0, 1]);
    assert!(unicast(&mut b).is_empty());
}

pub fn a_network_that_does_not_carry_so_much_is_refused_by_name(ether: &mut impl Ether) {
    if let Some(refusal) = ether.refusal(70_000) {
        assert!(refusal.contains("70000 bytes"), "{refusal}");
    }
}

pub fn bursts_of_several_strides_arrive_cut_where_they_were_cut<E: Ether>(ether: &mut E) {
    let (mut a, mut b) = two(ether);
    // The last datagram of a burst may be shorter than its stride, an empty burst has none, and a stride may
    // be wider than all bytes.
    let lens: [&[usize]; 6] = [&[100; 5], &[LEN_MAX, LEN_MAX, 200], &[], &[64], &[900, 31], &[E::LEN_MIN; 9]];
    let mut next = 0;
    let bursts = lens.map(|lens| {
        let all = lens.iter().flat_map(|len| {
            next += 1;
            datagram(FOR_GROUPS, next - 1, *len)
        });
        all.collect::<Vec<u8>>()
    });
    let strides = [100, LEN_MAX, 50, LEN_MAX, 900, E::LEN_MIN];
    let offered: Vec<_> = bursts.iter().zip(strides).map(|(bytes, stride)| Burst { bytes, stride }).collect();
    let count = next as usize;
    assert_eq!(a.send_group(Group::Control, &offered), count);
    let came = hear(count, || groups(&mut b));
    assert_eq!(came.iter().map(Vec::len).collect::<Vec<_>>(), lens.concat());
    assert_eq!(numbers(&came), (0..next).collect::<Vec<_>>());
}

pub fn what_is_lost_is_missing_whole_and_counted_and_what_comes_is_untorn<E: Ether>(ether: &mut E) {
    let (mut a, mut b) = two(ether);
    let many = 16 * (BUFFER_BYTES / LEN_MAX) as u32;
    assert_eq!(b.dropped(), 0);
    count_up(&mut a, Group::Data, 0..many, LEN_MAX);
    let numbers = numbers(&hear(1, || groups(&mut b)));
    assert!(numbers.len() < many as usize, "nobody has room for so much");
    assert!(
        numbers.is_sorted_by(|one, next| one < next),
        "nothing comes twice on a network that repeats nothing"
    );
    // Some devices learn of a loss from the next datagram.
    let begun = Instant::now();
    loop {
        count_up(&mut a, Group::Data, many..many + 1, 64);
        assert!(numbers_received(&mut b, 1) == [many]);
        if b.dropped() > 0 || !E::COUNTS_LOSSES {
            return;
        }
        assert!(begun.elapsed() < PATIENCE, "{} of {many} came, and none was lost", numbers.len());
    }
}

pub fn over_a_network_that_loses_repeats_and_reorders_what_comes_is_what_was_sent(ether: &mut impl Ether) {
    let (mut a, b) = two(ether);
    let shares = FaultSettings {
        loss_ppm: 100_000,
        duplication_ppm: 100_000,
        reordering_ppm: 200_000,
        seed: 7,
        ..FaultSettings::default()
    };
    let mut b = FaultInjector::new(b, shares, 0, LEN_MAX);
    let (mut times, rounds, each) = (BTreeMap::new(), 30, 20);
    for round in 0..rounds {
        count_up(&mut a, Group::Data, round * each..(round + 1) * each, 100 + round as usize);
        for number in numbers(&hear(1, || groups(&mut b))) {
            *times.entry(number).or_insert(0_u32) += 1;
        }
    }
    let (all, counts) = (rounds * each, b.counts());
    assert!(times.keys().all(|number| *number < all) && times.values().all(|times| *times <= 2));
    let came: u32 = times.values().sum();
    assert_eq!(u64::from(came), u64::from(all) - counts.lost + counts.duplicated, "{counts:?}");
    assert!(counts.lost > 0 && counts.duplicated > 0 && counts.reordered > 0, "{counts:?}");
}

/// A datagram that no device of ours sends, though its kind is one of ours.
fn strange(kind: Kind, len: usize) -> Vec<u8> {
    let mut bytes: Vec<u8> = (0..len).map(|at| (at * 7 % 251) as u8).collect();
    if let Some(at) = bytes.get_mut(KIND_AT) {
        *at = kind as u8;
    }
    bytes
}

pub fn what_others_send_there_is_handed_up_as_it_was_or_not_at_all(ether: &mut impl Ether) {
    let (mut a, mut b) = two(ether);
    let lens = [0, 1, 3, 40, LEN_MAX, LEN_MAX + 1, 2 * LEN_MAX, 9_000];
    // Without a kind, and with each kind that a network may look at.
    let kinds = [Kind::Stage, Kind::Frame, FOR_GROUPS, FOR_ONE, Kind::Join, Kind::Lease];
    let strange: Vec<Vec<u8>> = kinds.iter().flat_map(|kind| lens.map(|len| strange(*kind, len))).collect();
    for (number, bytes) in (0..).zip(&strange) {
        ether.outsider_says(bytes);
        count_up(&mut a, Group::Data, number..number + 1, 77);
    }
    let ours = |bytes: &Vec<u8>| bytes.len() == 77;
    let mut all = Vec::new();
    while all.iter().filter(|bytes| ours(bytes)).count() < strange.len() {
        all.extend(hear(1, || groups(&mut b)));
    }
    let (ours, theirs): (Vec<_>, Vec<_>) = all.into_iter().partition(ours);
    let all = (0..strange.len() as u32).collect::<Vec<_>>();
    assert_eq!(numbers(&ours), all, "nothing of ours is lost beside it");
    for bytes in theirs.into_iter().chain(unicast(&mut b).into_iter().map(|datagram| datagram.0)) {
        assert!(strange.contains(&bytes), "{} bytes that nobody sent", bytes.len());
    }
}

pub fn lent_memory_stays_as_it_is_until_the_next_receive(ether: &mut impl Ether) {
    let (mut a, mut b) = two(ether);
    let back = ether.address(&a);
    count_up(&mut a, Group::Data, 0..8, 500);
    let begun = Instant::now();
    let mut lent = 0;
    while lent == 0 {
        lent = b.recv_groups();
        assert!(begun.elapsed() < PATIENCE);
    }
    let before: Vec<Vec<u8>> = (0..lent).map(|index| b.group_datagram(index).to_vec()).collect();
    // Meanwhile more arrives of either kind, the other kind is received, and the device sends.
    count_up(&mut a, Group::Data, 8..30, LEN_MAX);
    let to = ether.address(&b);
    assert!(a.send_unicast(to, [&datagram(FOR_ONE, 0, 400), b""]));
    let datagrams = hear(1, || unicast(&mut b));
    assert_eq!(datagrams.iter().map(|datagram| number(FOR_ONE, &datagram.0)).collect::<Vec<_>>(), [0]);
    b.set_joined(Group::Submit, false);
    say(&mut b, Group::Control, &datagram(FOR_GROUPS, 99, 600), 600);
    assert!(b.send_unicast(back, [&datagram(FOR_ONE, 98, 600), b""]));
    let after: Vec<Vec<u8>> = (0..lent).map(|index| b.group_datagram(index).to_vec()).collect();
    assert_eq!(before, after);
    assert_eq!(numbers(&before), (0..lent as u32).collect::<Vec<_>>());
}

pub fn who_leaves_a_group_hears_it_no_more_and_the_others_still(ether: &mut impl Ether) {
    let (mut a, mut b) = two(ether);
    b.set_joined(Group::Data, false);
    ether.settle(&mut a, &mut b);
    for (first, group) in (0..).step_by(10).zip(Group::ALL) {
        count_up(&mut a, group, first..first + 10, 90);
    }
    let numbers = numbers_received(&mut b, 20);
    assert!(numbers.iter().all(|number| *number < 10 || *number >= 20), "{numbers:?}");
    b.set_joined(Group::Data, true);
    ether.settle(&mut a, &mut b);
    count_up(&mut a, Group::Data, 30..40, 90);
    assert_eq!(numbers_received(&mut b, 10), (30..40).collect::<Vec<_>>());
}

pub fn a_peer_that_ends_in_mid_flow_harms_nobody_and_is_heard_again_when_it_is_back(ether: &mut impl Ether) {
    let (mut a, mut b) = two(ether);
    let mut c = ether.open(2);
    for round in 0..3 {
        // It is closed with much unread, and some of what it sent may be under way.
        count_up(&mut a, Group::Data, 0..40, 700);
        count_up(&mut c, Group::Control, 100..140, 700);
        drop(c);
        let mut of_a = numbers(&hear(40, || groups(&mut b)));
        of_a.retain(|number| *number < 100);
        assert_eq!(of_a, (0..40).collect::<Vec<_>>(), "round {round}");
        hear(0, || groups(&mut a));
        c = ether.open(2);
        meet(ether, &mut a, &mut c);
        count_up(&mut a, Group::Data, 200..210, 80);
        assert_eq!(numbers_received(&mut c, 10), (200..210).collect::<Vec<_>>(), "round {round}");
        count_up(&mut c, Group::Data, 300..310, 80);
        let numbers = numbers_received(&mut b, 20);
        assert_eq!(numbers[10..], (300..310).collect::<Vec<_>>(), "round {round}");
        hear(0, || groups(&mut a));
    }
}

pub fn where_nothing_has_come_a_receive_says_so_at_once(ether: &mut impl Ether) {
    let (mut a, mut b) = two(ether);
    for net in [&mut a, &mut b] {
        for _ in 0..100 {
            assert_eq!((net.recv_groups(), net.recv_unicast()), (0, 0));
        }
        assert_eq!(net.send_group(Group::Data, &[]), 0);
        assert_eq!(net.send_group(Group::Data, &[Burst { bytes: &[], stride: LEN_MAX }]), 0);
    }
}

/// It need not lend everything that waits, and the number that it lends says nothing about the rest.
pub fn a_device_says_that_it_is_drained_only_where_nothing_waits_and_then_it_does<E: Ether>(ether: &mut E) {
    let (mut speaker, mut hearer) = two(ether);
    assert!(groups(&mut hearer).is_empty() && hearer.is_drained(), "nothing was said");
    for count in [1, 2, 30, 1] {
        count_up(&mut speaker, Group::Data, 0..count, 100);
        std::thread::sleep(REST); // all of it has arrived
        let (mut came, begun) = (0, Instant::now());
        while came < count as usize {
            came += groups(&mut hearer).len();
            assert!(came == count as usize || !hearer.is_drained(), "{came} of {count} have come");
            assert!(begun.elapsed() < PATIENCE, "{came} of {count} have come");
        }
        assert!(groups(&mut hearer).is_empty() && hearer.is_drained(), "all {count} have come");
    }
}

/// Every promise as a test of its own, where a module `promises` is in scope; `$ether` is an `Option`: a
/// network that is not available here prints the reason.
macro_rules! keeps_its_promises {
    ($transport:ident, $ether:expr) => {
        mod $transport {
            use super::*;

            keeps_its_promises!(
                @ $ether,
                datagrams_of_every_size_up_to_the_greatest_pass_whole_by_groups_and_by_unicast,
                one_byte_above_the_greatest_is_refused_and_what_stands_in_front_of_it_is_sent,
                a_network_that_does_not_carry_so_much_is_refused_by_name,
                bursts_of_several_strides_arrive_cut_where_they_were_cut,
                what_is_lost_is_missing_whole_and_counted_and_what_comes_is_untorn,
                over_a_network_that_loses_repeats_and_reorders_what_comes_is_what_was_sent,
                what_others_send_there_is_handed_up_as_it_was_or_not_at_all,
                lent_memory_stays_as_it_is_until_the_next_receive,
                who_leaves_a_group_hears_it_no_more_and_the_others_still,
                a_peer_that_ends_in_mid_flow_harms_nobody_and_is_heard_again_when_it_is_back,
                where_nothing_has_come_a_receive_says_so_at_once,
                a_device_says_that_it_is_drained_only_where_nothing_waits_and_then_it_does,
            );
        }
    };
    (@ $ether:expr, $($promise:ident),* $(,)?) => {
        $(
            #[test]
            fn $promise() {
                if let Some(mut ether) = $ether {
                    promises::$promise(&mut ether);
                }
            }
        )*
    };
}
pub(crate) use keeps_its_promises;
