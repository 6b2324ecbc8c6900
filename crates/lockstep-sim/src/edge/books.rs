//! The clients, days, answers and feeds by the committed log: folded by the simulator itself, from the
//! frames that the oracle counts as committed. No gateway, feed or application is believed.

use super::fix_books::FixModel;
use super::users::{self, FIX_FIRST, USERS};
use super::venue::Venue;
use crate::check::log_tree::{Tree, TreeNode};
use crate::check::{Violation, digest};
use lockstep_gateway::gateway::ledger::FIRST_DAY;
use lockstep_machine::Acknowledger;
use lockstep_wire::{
    DayMark, Destination, EntryKind, FrameView, GATEWAYS, Nanos, OpenView, OrderView, PART_MORE, PART_NEXT,
    PublisherId, RESERVED, Seq,
};
use std::collections::BTreeMap;

/// A trading day.
#[derive(Clone, Debug, Default)]
pub(super) struct ModelDay {
    pub(super) name: String,
    /// Its mark.
    begins_at: Seq,
    pub(super) is_over: bool,
    /// Its messages: seq, destination and content of each.
    pub(super) messages: Vec<(Seq, Destination, Vec<u8>)>,
}

/// A login, or the open that ended a client's connection.
#[derive(Clone, Copy, Debug)]
pub(super) struct ModelOpen {
    pub(super) user: usize,
    pub(super) gateway: PublisherId,
    /// The number of messages that the user had sent by then, by logins of that day.
    pub(super) published: u64,
}

/// A user by the log.
#[derive(Clone, Copy, Debug, Default)]
struct Client {
    connected: bool,
    /// The day in which it logged in last.
    login_day: usize,
}

/// See the module.
#[derive(Clone, Debug)]
pub(super) struct EdgeModel {
    tip: Option<TreeNode>,
    names: BTreeMap<String, PublisherId>,
    clients: [Client; USERS],
    pub(super) days: Vec<ModelDay>,
    pub(super) opens: Vec<ModelOpen>,
    /// The messages of each user, by the day of its login: digests of its orders, in order.
    published: BTreeMap<(usize, usize), Vec<u64>>,
    /// The answers to the orders of all, in their order, and the number of them that were given.
    expected: Vec<(PublisherId, Vec<u8>)>,
    pub(super) answers: usize,
    /// What the application answers clients of FIX by, and those clients.
    venue: Venue,
    fix: [FixModel; USERS - FIX_FIRST],
    /// Messages of which parts are still missing.
    begun: BTreeMap<PublisherId, Vec<u8>>,
    /// Whole messages that are larger than a datagram.
    pub(super) large: Vec<u64>,
    /// Clients that a gateway disconnected in place of a dead gateway.
    pub(super) reaped: u64,
    /// The machine acknowledges: another one's answers are judged by its owner.
    judges_answers: bool,
}

impl EdgeModel {
    pub(super) fn new(judges_answers: bool) -> Self {
        let first = ModelDay { name: FIRST_DAY.to_owned(), ..ModelDay::default() };
        Self {
            tip: None,
            names: BTreeMap::new(),
            clients: Default::default(),
            days: vec![first],
            opens: Vec::new(),
            published: BTreeMap::new(),
            expected: Vec::new(),
            answers: 0,
            venue: Venue::default(),
            fix: std::array::from_fn(|at| FixModel::new(users::name(FIX_FIRST + at))),
            begun: BTreeMap::new(),
            large: Vec::new(),
            reaped: 0,
            judges_answers,
        }
    }

    /// Everything up to `tip` is committed now.
    pub(super) fn fold(&mut self, tree: &Tree, tip: Option<TreeNode>) -> Result<(), Violation> {
        if tip == self.tip {
            return Ok(());
        }
        for node in tree.path(self.tip, tip) {
            let bytes = &tree.stem(node).bytes;
            let frame = FrameView::parse(bytes).map_err(|reject| format!("EDGE: {reject}"))?;
            for (seq, entry) in (frame.header.first_seq..).zip(frame.entries()) {
                let (id, payload) = (entry.header.publisher, entry.payload);
                let time = frame.header.timestamp + Nanos::from(entry.header.time_or_incarnation);
                match entry.kind() {
                    EntryKind::Open => {
                        let open = OpenView::parse(payload).map_err(|reject| format!("EDGE: {reject}"))?;
                        self.begun.remove(&id);
                        self.open(id, &open);
                    }
                    EntryKind::Close => {
                        self.begun.remove(&id);
                        self.close(id, payload);
                    }
                    EntryKind::Day => {
                        let mark = DayMark::parse(payload).map_err(|reject| format!("EDGE: {reject}"))?;
                        self.day(seq, &mark)?;
                    }
                    EntryKind::Message if entry.header.destination < RESERVED => {
                        let flags = entry.header.flags;
                        let parts = self.begun.entry(id).or_default();
                        if flags & PART_NEXT == 0 {
                            parts.clear();
                        }
                        parts.extend_from_slice(payload);
                        if flags & PART_MORE == 0 {
                            let whole = self.begun.remove(&id).unwrap_or_default();
                            if flags & PART_NEXT != 0 {
                                self.large.push(digest(&whole));
                            }
                            self.message((seq, time), id, entry.header.destination, whole)?;
                        }
                    }
                    EntryKind::Message if entry.header.destination == GATEWAYS => {
                        if let Some(model) = self.fix_of(id) {
                            model.on_note((seq, time), payload)?;
                        }
                    }
                    EntryKind::Order => {
                        let before = OrderView::parse(payload).ok().and_then(|order| order.time_before());
                        self.fix.iter_mut().for_each(|model| model.on_time_order(before));
                    }
                    _ => {}
                }
            }
        }
        self.tip = tip;
        Ok(())
    }

    fn user(&self, id: PublisherId) -> Option<usize> {
        (0..USERS).find(|user| self.id(*user) == Some(id))
    }

    /// The client of FIX with this id.
    fn fix_of(&mut self, id: PublisherId) -> Option<&mut FixModel> {
        let user = self.user(id)?.checked_sub(FIX_FIRST)?;
        Some(&mut self.fix[user])
    }

    /// The client of FIX that is this user.
    pub(super) fn fix(&self, user: usize) -> &FixModel {
        &self.fix[user - FIX_FIRST]
    }

    /// The id of a user's client.
    pub(super) fn id(&self, user: usize) -> Option<PublisherId> {
        self.names.get(&format!("client/{}", users::name(user))).copied()
    }

    fn open(&mut self, id: PublisherId, open: &OpenView<'_>) {
        self.names.insert(open.name.to_owned(), id);
        let Some(user) = self.user(id) else { return };
        if let Some(model) = self.fix_of(id) {
            model.on_opened();
        }
        let day = self.days.len() - 1;
        // The top byte of a nonce shows whether it is a login.
        let is_login = open.body.nonce[0] >> 56 == 1;
        self.clients[user].connected |= is_login;
        self.clients[user].login_day = day;
        let published = self.published(day, user).len() as u64;
        self.opens.push(ModelOpen { user, gateway: (open.body.nonce[1] >> 32) as PublisherId, published });
    }

    fn close(&mut self, id: PublisherId, reason: &[u8]) {
        if let Some(user) = self.user(id) {
            self.reaped += u64::from(reason.first() == Some(&9));
            self.clients[user].connected = false;
        }
    }

    fn day(&mut self, seq: Seq, mark: &DayMark<'_>) -> Result<(), Violation> {
        let last = self.days.len() - 1;
        let is_first = last == 0 && !self.days[0].is_over;
        if mark.is_start {
            // The first one was never begun.
            if !self.days[last].is_over && !is_first {
                return Err(format!("EDGE: a day begins at {seq} in an open one"));
            }
            let name = mark.name.to_owned();
            self.days.push(ModelDay { name, begins_at: seq, ..ModelDay::default() });
        } else if self.days[last].is_over || is_first {
            return Err(format!("EDGE: a day ends at {seq}, and none is open"));
        }
        self.days[last].is_over = true;
        let begins = mark.is_start.then(|| self.days.len() - 1);
        self.fix.iter_mut().for_each(|model| model.on_day(begins));
        Ok(())
    }

    fn message(
        &mut self,
        (seq, time): (Seq, Nanos),
        id: PublisherId,
        to: Destination,
        payload: Vec<u8>,
    ) -> Result<(), Violation> {
        if let Some(user) = self.user(id) {
            let day = self.clients[user].login_day;
            self.published.entry((day, user)).or_default().push(digest(&payload));
            if let Some(model) = self.fix_of(id) {
                model.on_own((seq, time), &payload)?;
                let expected = &mut self.expected;
                self.venue.answer(id, &payload, &mut |to, answer| expected.push((to, answer)));
            } else if self.judges_answers {
                self.expected.push((id, [Acknowledger::PREFIX, &payload[..]].concat()));
            }
        } else if self.judges_answers && self.names.get(Acknowledger::NAME) == Some(&id) {
            let (whom, answer) = self.expected.get(self.answers).ok_or_else(|| {
                format!("EDGE: the application answers at {seq} what nobody said: {} answers", self.answers)
            })?;
            if *whom != to || payload != *answer {
                return Err(format!(
                    "EDGE: answer {} of the application, at {seq}, is not that to its order",
                    self.answers + 1
                ));
            }
            self.answers += 1;
            if let Some(model) = self.fix_of(to) {
                model.on_answer((seq, time), &payload)?;
            }
        }
        if let Some(day) = self.days.last_mut().filter(|day| !day.is_over) {
            day.messages.push((seq, to, payload));
        }
        Ok(())
    }

    /// The messages of a user by logins of a day, as digests.
    pub(super) fn published(&self, day: usize, user: usize) -> &[u64] {
        self.published.get(&(day, user)).map_or(&[], Vec::as_slice)
    }

    /// The day of this name.
    pub(super) fn day_of(&self, name: &str) -> Option<usize> {
        self.days.iter().position(|day| day.name == name)
    }

    /// Where the newest day begins that a mark has begun.
    pub(super) fn newest_day_at(&self) -> Option<Seq> {
        self.days.last().map(|day| day.begins_at).filter(|at| *at > 0)
    }

    /// The day that is open.
    pub(super) fn open_day(&self) -> Option<usize> {
        let last = self.days.len() - 1;
        (!self.days[last].is_over).then_some(last)
    }

    /// Message `number` of those that a user receives of a day, counted from 1.
    pub(super) fn delivered(&self, day: usize, user: usize, number: u64) -> Option<&[u8]> {
        self.all_delivered(day, user).nth(usize::try_from(number).ok()?.checked_sub(1)?)
    }

    /// The messages that a user receives of a day.
    pub(super) fn all_delivered(&self, day: usize, user: usize) -> impl Iterator<Item = &[u8]> {
        let destinations = users::destinations(user, |other| self.id(other));
        let messages = self.days[day].messages.iter();
        messages.filter(move |(_, to, _)| destinations.contains(to)).map(|(.., payload)| &payload[..])
    }

    /// The messages that a feed carries of a day, in blocks of at most `len_max` bytes.
    pub(super) fn fed(
        &self,
        day: usize,
        channel: Option<Destination>,
        len_max: usize,
    ) -> impl Iterator<Item = &[u8]> {
        let messages = self.days[day].messages.iter();
        let carried = messages.filter(move |(_, to, payload)| {
            channel.is_none_or(|channel| channel == *to) && payload.len() <= len_max
        });
        carried.map(|(.., payload)| &payload[..])
    }

    /// Whether a user is connected by the log.
    pub(super) fn is_connected(&self, user: usize) -> bool {
        self.clients[user].connected
    }

    /// Answers that the application has not given.
    pub(super) fn unanswered(&self) -> usize {
        if self.judges_answers { self.expected.len() - self.answers } else { 0 }
    }
}
