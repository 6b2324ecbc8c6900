//! The properties of two lines, over devices of memory and a clock of the test.

use super::*;
use lockstep_wire::{Kind, seal};
use std::cell::Cell;
use std::net::Ipv4Addr;
use std::rc::Rc;

#[derive(Default)]
struct Memory {
    arrived: Vec<Vec<u8>>,
    lent: Vec<Vec<u8>>,
    sent: usize,
    takes: usize,
    joined: Vec<(Group, bool)>,
    from: Option<SocketAddrV4>,
    sent_to: Vec<SocketAddrV4>,
}

fn address(last: u8) -> SocketAddrV4 {
    SocketAddrV4::new(Ipv4Addr::new(10, 0, 0, last), 7001)
}

impl Net for Memory {
    fn recv_groups(&mut self) -> usize {
        self.lent = std::mem::take(&mut self.arrived);
        self.lent.len()
    }

    fn is_drained(&self) -> bool {
        true
    }

    fn group_datagram(&self, index: usize) -> &[u8] {
        &self.lent[index]
    }

    fn recv_unicast(&mut self) -> usize {
        self.recv_groups()
    }

    fn unicast_datagram(&self, index: usize) -> (&[u8], SocketAddrV4) {
        (&self.lent[index], self.from.expect("whoever writes has an address"))
    }

    fn send_group(&mut self, _group: Group, bursts: &[Burst<'_>]) -> usize {
        let taken = bursts.iter().map(Burst::count).sum::<usize>().min(self.takes);
        self.sent += taken;
        taken
    }

    fn send_unicast(&mut self, to: SocketAddrV4, _parts: [&[u8]; 2]) -> bool {
        self.sent_to.push(to);
        self.takes > 0
    }

    fn set_joined(&mut self, group: Group, joined: bool) {
        self.joined.push((group, joined));
    }
}

type Both = TwoLines<Memory, Rc<Cell<Nanos>>>;

fn both() -> (Both, Rc<Cell<Nanos>>) {
    let time = Rc::new(Cell::new(1_000));
    (both_of(vec![(address(1), address(101))], &time), time)
}

fn both_of(nodes: Vec<Addresses>, time: &Rc<Cell<Nanos>>) -> Both {
    TwoLines::timed(Default::default(), nodes, Rc::clone(time))
}

fn heartbeat(number: u64) -> Vec<u8> {
    let mut datagram = vec![0; HEADER_LEN + 8];
    let header = Header { sender: 1, incarnation: 2, number, ..Header::new(Kind::Heartbeat) };
    seal(&mut datagram, header);
    datagram
}

/// Receives these datagrams on each line; returns the numbers of the lent ones.
fn receive(both: &mut Both, brought: [&[u64]; 2]) -> Vec<u64> {
    for (line, numbers) in both.lines.iter_mut().zip(brought) {
        line.arrived = numbers.iter().map(|number| heartbeat(*number)).collect();
    }
    let lent = both.recv_groups();
    let number = |index| Header::peek(both.group_datagram(index)).expect("a header").number;
    (0..lent).map(number).collect()
}

#[test]
fn the_first_copy_wins_whichever_line_brings_it() {
    let (mut both, time) = both();
    assert_eq!(receive(&mut both, [&[1, 2], &[]]), [1, 2]);
    time.set(1_700);
    assert_eq!(receive(&mut both, [&[], &[1, 2, 3]]), [3]);
    time.set(1_800);
    assert_eq!(receive(&mut both, [&[3, 4], &[4]]), [4]);
    let [a, b] = both.counts();
    assert_eq!((a.datagrams_in, a.first, a.missing, a.lag_ns), (4, 3, 0, 100));
    assert_eq!((b.datagrams_in, b.first, b.missing, b.lag_ns, b.lag_ns_max), (4, 1, 0, 0, 700));
}

#[test]
fn what_one_line_loses_the_other_brings_and_the_loss_is_counted_at_that_line() {
    let (mut both, time) = both();
    let all: Vec<u64> = (1..=1_000).collect();
    let a: Vec<u64> = all.iter().copied().filter(|number| number % 10 != 0).collect();
    let b: Vec<u64> = all.iter().copied().filter(|number| number % 7 != 0).collect();
    let mut received = Vec::new();
    for (a, b) in a.chunks(90).zip(b.chunks(86)) {
        received.extend(receive(&mut both, [a, b]));
    }
    received.sort_unstable();
    // 10 and 7 divide 70: datagrams that both lines lose are lost.
    let expected: Vec<u64> = all.into_iter().filter(|number| number % 70 != 0).collect();
    assert_eq!(received, expected);
    time.set(1_001 + WAITING_NS);
    assert!(receive(&mut both, [&[], &[]]).is_empty());
    let [a, b] = both.counts();
    assert_eq!((a.missing, b.missing), (100 - 14, 142 - 14));
}

#[test]
fn a_line_that_falls_silent_alone_is_an_alarm_once_and_nothing_else() {
    let (mut both, time) = both();
    for number in 0..100 {
        time.set(1_000 + number * 10_000_000);
        let b: &[u64] = if number < 50 { &[number] } else { &[] };
        assert_eq!(receive(&mut both, [&[number], b]), [number]);
    }
    let [a, b] = both.counts();
    assert_eq!((a.is_down, a.alarms, b.is_down, b.alarms), (0, 0, 1, 1));
    assert_eq!(receive(&mut both, [&[100], &[100]]), [100]);
    let [_, b] = both.counts();
    assert_eq!((b.is_down, b.alarms), (0, 1), "it is back");
}

#[test]
fn the_silence_of_both_is_no_alarm_of_either() {
    let (mut both, time) = both();
    receive(&mut both, [&[1], &[1]]);
    time.set(1_000 + 100 * SILENT_NS);
    receive(&mut both, [&[], &[]]);
    assert!(both.counts().iter().all(|line| line.alarms == 0));
}

#[test]
fn what_is_said_twice_is_heard_twice() {
    let (mut both, _time) = both();
    assert_eq!(receive(&mut both, [&[1, 1], &[1, 1]]), [1, 1]);
    assert_eq!(receive(&mut both, [&[1], &[]]), [1], "also later");
}

#[test]
fn a_datagram_of_somebody_else_is_lent_as_it_is() {
    let (mut both, _time) = both();
    both.lines[0].arrived = vec![b"short".to_vec()];
    both.lines[1].arrived = vec![b"short".to_vec()];
    assert_eq!((both.recv_groups(), both.group_datagram(1)), (2, &b"short"[..]));
}

#[test]
fn what_waits_for_its_copy_is_bounded() {
    let (mut both, _time) = both();
    let all: Vec<u64> = (0..3 * WAITING_MAX as u64).collect();
    assert_eq!(receive(&mut both, [&all, &[]]).len(), all.len());
    assert_eq!(both.copies.waiting[0].len(), WAITING_MAX);
    assert_eq!(both.counts()[1].missing, 2 * WAITING_MAX as u64);
}

#[test]
fn everything_goes_out_by_both_lines_and_what_one_of_them_took_is_on_its_way() {
    let (mut both, _time) = both();
    let bytes = [7; 30];
    let bursts = [Burst { bytes: &bytes, stride: 10 }];
    for (takes, taken) in [([3, 3], 3), ([0, 3], 3), ([2, 0], 2), ([0, 0], 0)] {
        (both.lines[0].takes, both.lines[1].takes) = (takes[0], takes[1]);
        assert_eq!(both.send_group(Group::Data, &bursts), taken);
    }
    assert_eq!((both.lines[0].sent, both.lines[1].sent), (5, 6));
    both.set_joined(Group::Data, false);
    assert!(both.lines.iter().all(|line| line.joined == [(Group::Data, false)]));
}

/// As with a card without a cable: this host still receives what it sends.
#[test]
fn what_we_said_ourselves_is_no_sign_of_a_lines_life() {
    let (mut both, time) = both();
    let own = |number| {
        let mut datagram = vec![0; HEADER_LEN + 8];
        seal(&mut datagram, Header { sender: 9, incarnation: 9, number, ..Header::new(Kind::Ack) });
        datagram
    };
    for number in 0..100 {
        time.set(1_000 + number * 10_000_000);
        let sent = own(number);
        both.send_group(Group::Control, &[Burst { bytes: &sent, stride: sent.len() }]);
        both.lines[0].arrived = vec![sent.clone()];
        both.lines[1].arrived = vec![sent, heartbeat(number)];
        assert_eq!(both.recv_groups(), 2);
    }
    let [a, b] = both.counts();
    assert_eq!((a.is_down, a.alarms, b.is_down, b.alarms), (1, 1, 0, 0));
    assert_eq!((a.datagrams_in, b.datagrams_in), (100, 200));
}

/// The destinations of a unicast datagram on each line.
fn sends(both: &mut Both, to: SocketAddrV4) -> [Vec<SocketAddrV4>; 2] {
    both.send_unicast(to, [b"a", b""]);
    [0, 1].map(|line| std::mem::take(&mut both.lines[line].sent_to))
}

#[test]
fn a_node_with_an_address_on_both_lines_is_written_to_on_both_and_everybody_else_on_the_first() {
    let (mut both, _time) = both();
    assert_eq!(sends(&mut both, address(1)), [vec![address(1)], vec![address(101)]]);
    assert_eq!(sends(&mut both, address(2)), [vec![address(2)], vec![]]);
    for (takes, taken) in [([1, 0], true), ([0, 1], true), ([0, 0], false)] {
        (both.lines[0].takes, both.lines[1].takes) = (takes[0], takes[1]);
        assert_eq!(both.send_unicast(address(1), [b"a", b""]), taken);
    }
}

#[test]
fn a_first_line_that_is_down_is_not_written_to_where_the_second_one_leads_there_too() {
    let (mut both, time) = both();
    for number in 0..100 {
        time.set(1_000 + number * 10_000_000);
        receive(&mut both, [&[], &[number]]);
    }
    assert_eq!(both.counts()[0].is_down, 1);
    assert_eq!(sends(&mut both, address(1)), [vec![], vec![address(101)]]);
    assert_eq!(sends(&mut both, address(2)), [vec![address(2)], vec![]], "there is no other way");
}

/// Receives this on each line from that address; returns the address under which it is reported.
fn delivered(both: &mut Both, brought: [(&[u64], SocketAddrV4); 2]) -> Vec<(u64, SocketAddrV4)> {
    for (line, (numbers, from)) in both.lines.iter_mut().zip(brought) {
        line.arrived = numbers.iter().map(|number| heartbeat(*number)).collect();
        line.from = Some(from);
    }
    let lent = both.recv_unicast();
    let delivered = |index| {
        let (bytes, from) = both.unicast_datagram(index);
        (Header::peek(bytes).expect("a header").number, from)
    };
    (0..lent).map(delivered).collect()
}

#[test]
fn of_unicast_too_the_first_copy_wins_and_a_node_has_one_address_whichever_line_it_writes_by() {
    let (mut both, _time) = both();
    let node = [address(1), address(101)];
    assert_eq!(delivered(&mut both, [(&[1], node[0]), (&[1, 2], node[1])]), [(1, node[0]), (2, node[0])]);
    assert_eq!(delivered(&mut both, [(&[2, 3], node[0]), (&[], node[1])]), [(3, node[0])]);
    assert_eq!(both.counts().map(|line| line.datagrams_in), [0, 0], "lines are judged by their groups");
}

#[test]
fn who_asks_by_the_second_line_is_answered_there_and_so_many_are_remembered() {
    let (mut both, _time) = both();
    assert_eq!(delivered(&mut both, [(&[], address(0)), (&[1], address(150))]), [(1, address(150))]);
    assert_eq!(sends(&mut both, address(150)), [vec![], vec![address(150)]]);
    for number in 0..unicast::ASKERS_MAX as u64 {
        let from = SocketAddrV4::new(Ipv4Addr::new(10, 0, 1, number as u8), 9);
        delivered(&mut both, [(&[], address(0)), (&[2 + number], from)]);
    }
    assert_eq!(sends(&mut both, address(150)), [vec![address(150)], vec![]], "it is forgotten");
}
