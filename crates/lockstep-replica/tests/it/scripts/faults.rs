//! What befalls the nodes of a story: disks, clocks, strangers, takeovers; and what they say of themselves.

use super::*;
use lockstep_core::engine::event::Role;
use lockstep_memory::log::written;
use lockstep_wire::Keyring;

impl Stage {
    pub(super) fn configure(&mut self, number: u32, name: &str) {
        let durability = match name {
            "process" => Durability::Process,
            "power" => Durability::Power,
            other => panic!("durability={other}: process or power"),
        };
        self.durability.insert(number, durability);
    }

    pub(super) fn set_disk(&mut self, number: u32, what: &str) {
        match what {
            "stops" => _ = self.stopped_disks.insert(number),
            "goes" => _ = self.stopped_disks.remove(&number),
            other => panic!("disk {number} {other}: stops or goes"),
        }
    }

    pub(super) fn set_clock(&mut self, number: u32, ahead: &str) {
        let seconds: Nanos = ahead.strip_suffix('s').expect("s").parse().expect("a number");
        self.ahead.insert(number, seconds * 1_000_000_000);
    }

    /// An ack in the epoch of the newest log from somebody whom nobody lists, for everybody.
    pub(super) fn hear_outsider(&mut self, next: Seq) {
        let replicas = self.nodes.values().filter_map(|node| match node {
            Node::Up(replica) => Some(replica.tail().end().epoch),
            _ => None,
        });
        let outsider = identity(9);
        let header = Header {
            cluster: CLUSTER,
            history: HISTORY,
            epoch: replicas.max().expect("somebody runs").0,
            sender: outsider.replica,
            incarnation: outsider.incarnation,
            first_seq: next,
            ..Header::new(Kind::Ack)
        };
        let ack =
            written(|out| write_ack(out, &Keyring::none(CLUSTER), header, AckBody { process_nonce: 9 }));
        for node in self.nodes.values_mut() {
            if let Node::Up(replica) = node {
                replica.net_mut().groups.push_back(ack.clone());
            }
        }
        for reading in self.readers.values_mut() {
            reading.subscriber.net_mut().groups.push_back(ack.clone());
        }
    }

    fn leader(&self) -> Option<u32> {
        let leads = |node: &Node| matches!(node, Node::Up(replica) if replica.role() == Role::Leader);
        let epoch =
            |node: &Node| if let Node::Up(replica) = node { replica.tail().end().epoch } else { Epoch::NONE };
        let leaders = self.nodes.iter().filter(|(_, node)| leads(node));
        leaders.max_by_key(|(_, node)| epoch(node)).map(|(number, _)| *number)
    }

    pub(super) fn depose(&mut self, times: u32) {
        let (out, cut, lost) = (self.out.clone(), self.cut.clone(), self.lost.clone());
        for _ in 0..times {
            let before = self.leader().expect("somebody leads");
            self.part(&before.to_string());
            let until = self.now + 10_000_000_000;
            while self.leader().is_none_or(|leader| leader == before) {
                assert!(self.now < until, "nobody else leads after ten seconds");
                self.run("1ms");
            }
            self.cut.clone_from(&cut);
            self.lost.clone_from(&lost);
            self.run("5ms");
        }
        self.out = out;
    }

    pub(super) fn fill(&mut self, count: usize) {
        let text = "x".repeat(1_000);
        self.publish(&vec![text.as_str(); count], PUBLISHER);
        self.wait("5ms");
    }

    pub(super) fn wait(&mut self, time: &str) {
        let before = self.out.len();
        self.run(time);
        let printed = self.out.split_off(before);
        for line in printed.lines().filter(|line| line.starts_with(|first: char| first.is_ascii_digit())) {
            writeln!(self.out, "{line}").expect("room");
        }
    }

    pub(super) fn ask(&mut self, number: u32, name: &str) {
        let header = Header { cluster: CLUSTER, ..Header::new(Kind::Query) };
        let query =
            written(|out| write_query(out, &Keyring::none(CLUSTER), header, 5, QueryKind::Publisher, name));
        self.up(number).net_mut().unicast.push_back((query, Some(address(99))));
        let before = self.datagrams.len();
        self.wait("200us");
        let mut replies = self.datagrams[before..].iter().filter_map(|(_, bytes)| {
            match Datagram::decode(bytes, &Keyring::none(CLUSTER)) {
                Ok(Datagram::QueryReply(header, body)) => Some(({ header.commit_next }, body.publisher_seq)),
                _ => None,
            }
        });
        let words = replies.next().map_or("does not answer".to_owned(), |(commit, last)| {
            format!("answers that {name}'s last number is {last}, below {commit}")
        });
        writeln!(self.out, "{number}: {words}").expect("room");
    }

    pub(super) fn print_sleep(&mut self, number: u32) {
        // A replica whose deadlines have passed is called again after this pause, each time.
        const AWAKE_NS: Nanos = 20_000;
        const TURNS: usize = 100;
        let wakes = (0..TURNS).filter(|_| {
            self.run("10us");
            let now = self.now;
            self.up(number).next_deadline() <= now + AWAKE_NS
        });
        let words = match wakes.count() < TURNS / 2 {
            true => "sleeps",
            false => "wants to be called at once, all the time",
        };
        writeln!(self.out, "{number}: {words}").expect("room");
    }
}
