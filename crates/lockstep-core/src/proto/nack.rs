//! # nack: when one missing range is asked for
//!
//! The question: a range of seqs is missing; when to ask, whom, and when again? Reordering heals by itself
//! within some twenty microseconds, so the first request waits that long. Then silence is followed by the
//! next repairer after a delay that doubles, a reason by the next one sooner, and an answer that came in part
//! by the same one once it has been quiet. Each range has an [`RequestTimer`] of its own ([`super::gap`]):
//! none waits for the answer to another.
//!
//! ```text
//!            guard over              retry over, or overtaken: next repairer
//!   Waiting ────────────▶ Requested ─────────────────────────────────────┐
//!     ▲ ▲                  │ │ ▲─────────────────────────────────────────┘
//!     │ └── refused ───────┘ │
//!     └──── brought some ────┘
//! ```
//! How long an answer takes is measured by [`Rtt`]: the token of a request tells which one is answered.

use lockstep_wire::{Identity, Nanos, Seq};

/// The timers.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct NackLimits {
    /// Wait for reordering only: 20 µs is some ten datagram times of a gigabit line, and what two queues of
    /// one NIC put between datagrams that were sent together. Up to half of it more is jitter.
    pub guard_ns: Nanos,
    /// Wait for so much longer before what only acks tell of is asked for: where the leader sends to each
    /// alone, a standby has its copy sooner than others, and its ack may overtake theirs. 0 where one send
    /// reaches all.
    pub apart_ns: Nanos,
    /// Shortest first wait for an answer: 150 µs is three round trips of 20 µs each way with 10 µs of turns
    /// at the ends, so that a quiet LAN's first request is not repeated before it is measured.
    pub retry_ns_min: Nanos,
    /// The doubling ends here: 5 ms is five steps of it, and what a repairer that restarts is worth.
    pub retry_ns_max: Nanos,
}

impl Default for NackLimits {
    fn default() -> Self {
        Self { guard_ns: 20_000, apart_ns: 0, retry_ns_min: 150_000, retry_ns_max: 5_000_000 }
    }
}

/// A retry waits for so many smoothed round trips: one that is merely slow arrives within two, and asking
/// again before that brings everything twice.
const RETRY_RTTS: u64 = 3;
/// The smoothed round trip rises by an eighth of the difference, as TCP's (RFC 6298).
const RISE: u64 = 8;
/// It falls by a half of it: what one answer took, the next can take, and a retry that waits longer than it
/// must is latency. So whatever delayed some answers is forgotten within a few of them.
const FALL: u64 = 2;
/// A sample counts as this many smoothed ones at most: one outlier does no more than double the retry.
const OUTLIER: u64 = 8;
/// What takes longer is a stall of one of both, and no network's: it must not make the next gaps wait.
const RTT_NS_MAX: Nanos = 100_000_000;

impl NackLimits {
    /// The guard of a gap that begins at `from`. The jitter spreads the requests of receivers that lost the
    /// same datagram over half a guard, some ten times what serving one takes. It is a function of both, so
    /// that nothing is drawn, and differs from gap to gap, so that nobody is always the first.
    pub fn guard(&self, me: Identity, from: Seq) -> Nanos {
        let spread = self.guard_ns / 2 + 1;
        self.guard_ns + mix(u64::from(me.replica) << 32 | u64::from(me.incarnation), from) % spread
    }

    /// How long a request waits for its answer behind `silent` others in a row that had none.
    pub fn retry(&self, rtt: &Rtt, silent: u32) -> Nanos {
        let first = (RETRY_RTTS * rtt.smoothed_ns).max(self.retry_ns_min);
        (first << silent.min(16)).min(self.retry_ns_max.max(first))
    }

    /// How long an answer may pause before it is taken to be over: half a round trip, as the copies of one
    /// answer leave together, and at least a guard.
    pub fn quiet(&self, rtt: &Rtt) -> Nanos {
        self.guard_ns.max(rtt.smoothed_ns / 2)
    }

    /// How long it takes until the next of `repairers` is asked behind `refused` refusals and one more: a
    /// guard, which doubles whenever all of them were asked, so that where nobody can help nobody is
    /// hammered, and no less than the repairer demands.
    pub fn refused(&self, refused: u32, repairers: usize, retry_after_ns: Nanos) -> Nanos {
        let rounds = refused as usize / repairers.max(1);
        (self.guard_ns << rounds.min(16)).min(self.retry_ns_max).max(retry_after_ns)
    }
}

/// Two words into one, well mixed (the finisher of SplitMix64).
pub(super) fn mix(a: u64, b: u64) -> u64 {
    let mut z = a ^ b.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// How long an answer takes, smoothed.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct Rtt {
    smoothed_ns: Nanos,
}

impl Rtt {
    /// Nanoseconds; 0 before the first sample.
    pub fn smoothed_ns(&self) -> Nanos {
        self.smoothed_ns
    }

    /// A first answer came this long after its request.
    pub fn on_sample(&mut self, ns: Nanos) {
        let (ns, old) = (ns.min(RTT_NS_MAX), self.smoothed_ns);
        self.smoothed_ns = match old {
            0 => ns,
            _ if ns < old => old - (old - ns) / FALL,
            _ => old + (ns.min(OUTLIER * old) - old) / RISE,
        };
    }
}

/// What came for a request since the last look.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
enum AnswerProgress {
    Nothing,
    /// The same repairer answered this request or a later one, but nothing of this range.
    Overtaken,
    /// Something of this range came.
    Brought,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum RequestState {
    Waiting { until: Nanos },
    Requested { until: Nanos, token: u64, news: AnswerProgress },
}

/// The requests for one range.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct RequestTimer {
    state: RequestState,
    /// Whom: a place in the order of repairers.
    place: u32,
    /// Requests since the last that brought something, ...
    tries: u32,
    /// ... how many of them were refused, and how many in a row nobody has answered.
    refused: u32,
    silent: u32,
    /// Asked for at least once.
    asked: bool,
    /// The repairer that was asked once more behind a proof of our address, until it brings something.
    proved_to: Option<u32>,
}

impl RequestTimer {
    /// Asks when `until` has come, beginning with the repairer at `place`.
    pub fn new(until: Nanos, place: u32) -> Self {
        Self {
            state: RequestState::Waiting { until },
            place,
            tries: 0,
            refused: 0,
            silent: 0,
            asked: false,
            proved_to: None,
        }
    }

    /// The first request goes out at `until`, if it was to be later.
    pub fn hasten(&mut self, sooner: Nanos) {
        if let RequestState::Waiting { until } = &mut self.state
            && !self.asked
        {
            *until = sooner.min(*until);
        }
    }

    /// When something is due.
    pub fn deadline(&self) -> Nanos {
        match self.state {
            RequestState::Waiting { until } | RequestState::Requested { until, .. } => until,
        }
    }

    /// Whether an answer is awaited.
    pub fn is_requested(&self) -> bool {
        matches!(self.state, RequestState::Requested { .. })
    }

    /// Whether no request has been sent yet.
    pub fn is_new(&self) -> bool {
        !self.asked
    }

    /// Whether the request before the one that is due next was answered, or there was none.
    pub fn is_answered(&self) -> bool {
        !self.is_requested() && self.silent == 0
    }

    /// Requests without progress before the one that is out, or due next.
    pub fn tries(&self) -> u32 {
        self.tries
    }

    /// The same once the next request is out.
    pub fn next_tries(&self) -> u32 {
        self.tries + u32::from(self.is_requested())
    }

    /// NACK-1 (when to ask): once the guard is over; again at the same repairer once an answer that brought
    /// something has been quiet; else at the next one, after the retry delay or a refusal's. If a request is
    /// due: at which place in the order, for the caller to send it and to call [`RequestTimer::on_sent`].
    pub fn due(&self, now: Nanos) -> Option<u32> {
        match self.state {
            _ if now < self.deadline() => None,
            RequestState::Waiting { .. } => Some(self.place),
            RequestState::Requested { .. } => Some(self.place.wrapping_add(1)),
        }
    }

    /// The request `token` was sent to the repairer at `place`.
    pub fn on_sent(&mut self, now: Nanos, token: u64, place: u32, limits: &NackLimits, rtt: &Rtt) {
        self.tries = self.next_tries();
        self.silent += u32::from(self.is_requested());
        let until = now + limits.retry(rtt, self.silent);
        self.state = RequestState::Requested { until, token, news: AnswerProgress::Nothing };
        (self.place, self.asked) = (place, true);
    }

    /// Frames came; `brought` says whether any of them is of this range. They answer the request and the
    /// place `answered`, if they name one.
    pub fn on_frames(&mut self, answered: Option<(u64, u32)>, brought: bool) {
        match &mut self.state {
            RequestState::Requested { token, news, .. } => {
                let overtaken = answered.is_some_and(|(answered, by)| answered >= *token && by == self.place);
                let seen = if brought { AnswerProgress::Brought } else { AnswerProgress::Overtaken };
                if brought || overtaken {
                    *news = seen.max(*news);
                }
            }
            RequestState::Waiting { .. } if brought => self.begin_again(),
            RequestState::Waiting { .. } => {}
        }
    }

    /// What a refusal of the rest comes with is progress, in whichever order the two arrive: the refusal is
    /// the first one.
    fn begin_again(&mut self) {
        (self.tries, self.refused, self.silent) = (self.tries.min(1), self.refused.min(1), 0);
        self.proved_to = None;
    }

    /// Sets the timers by what came since the last check. What an answer has not brought once it is quiet
    /// is lost: nobody waits out the retry for it.
    pub fn poll(&mut self, now: Nanos, limits: &NackLimits, rtt: &Rtt) {
        let RequestState::Requested { until, news, .. } = &mut self.state else { return };
        let quiet = now + limits.quiet(rtt);
        match std::mem::replace(news, AnswerProgress::Nothing) {
            AnswerProgress::Nothing => {}
            AnswerProgress::Overtaken => *until = quiet.min(*until),
            AnswerProgress::Brought => {
                self.state = RequestState::Waiting { until: quiet };
                (self.tries, self.refused, self.silent) = (0, 0, 0);
                self.proved_to = None;
            }
        }
    }

    /// The repairer of request `demanded` asks for a proof of our address, which is returned at once: it is
    /// asked again, behind the proof. A second demand of it in a row is a refusal.
    pub fn on_proof_demanded(&mut self, now: Nanos, demanded: u64, repairers: usize, limits: &NackLimits) {
        if self.proved_to == Some(self.place) {
            return self.on_refused(now, demanded, repairers, 0, limits);
        }
        if let RequestState::Requested { token, .. } = self.state
            && token == demanded
        {
            self.state = RequestState::Waiting { until: now };
            (self.silent, self.proved_to) = (0, Some(self.place));
        }
    }

    /// One of `repairers` gave a reason for request `refused`, and says when it may be asked again. An answer
    /// to an older request changes nothing.
    pub fn on_refused(
        &mut self,
        now: Nanos,
        refused: u64,
        repairers: usize,
        retry_after_ns: Nanos,
        limits: &NackLimits,
    ) {
        if let RequestState::Requested { token, news, .. } = self.state
            && token == refused
        {
            if news == AnswerProgress::Brought {
                (self.tries, self.refused, self.proved_to) = (0, 0, None);
            }
            let until = now + limits.refused(self.refused, repairers, retry_after_ns);
            self.state = RequestState::Waiting { until };
            self.tries += 1;
            // Somebody answers: the next request that is lost is not repeated the later for it.
            (self.refused, self.silent) = (self.refused + 1, 0);
            self.place = self.place.wrapping_add(1);
        }
    }
}

/// Requests that are remembered: more than are ever under way while each waits three round trips.
pub const REQUESTS_MAX: usize = 32;

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
struct Request {
    token: u64,
    at: Nanos,
    place: u32,
    answered: bool,
    measured: bool,
}

/// The newest requests, by token.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub struct Requests {
    ring: Vec<Request>,
    token: u64,
    /// The first token is behind this one.
    begun_at: u64,
    /// One was answered since the last look.
    news: bool,
}

impl Requests {
    /// None yet.
    pub fn new() -> Self {
        Self { ring: Vec::with_capacity(REQUESTS_MAX), token: 0, begun_at: 0, news: false }
    }

    /// From now on tokens are those behind `token`. An answer names its request by token alone: of two who
    /// ask from one address, each must know the answers to its own requests.
    pub fn number_behind(&mut self, token: u64) {
        self.begun_at = token;
        self.clear();
    }

    /// Holds always. Panics with the rule that is broken.
    pub fn invariants(&self) {
        let count = self.ring.len();
        assert!(count <= REQUESTS_MAX, "{count} requests are remembered, at most {REQUESTS_MAX}");
        let own = |(at, request): (usize, &Request)| {
            request.token == 0 || request.token as usize % REQUESTS_MAX == at
        };
        assert!(self.ring.iter().enumerate().all(own), "each request has its place: {:?}", self.ring);
    }

    /// A request is sent to the repairer at `place`: its token.
    pub fn next(&mut self, now: Nanos, place: u32) -> u64 {
        self.token += 1;
        let request = Request { token: self.token, at: now, place, answered: false, measured: false };
        let slot = self.token as usize % REQUESTS_MAX;
        match self.ring.get_mut(slot) {
            Some(old) => *old = request,
            None => {
                self.ring.resize(slot, Request::default());
                self.ring.push(request);
            }
        }
        self.token
    }

    /// Whether this request is one of the newest.
    pub fn knows(&self, token: u64) -> bool {
        token <= self.token && self.token - token < REQUESTS_MAX as u64
    }

    /// Something answers the request `token`. Returns it, and the place of whom it was sent to, if it is one
    /// of the newest.
    pub fn on_response(&mut self, token: u64) -> Option<(u64, u32)> {
        let slot = token as usize % REQUESTS_MAX;
        let request = self.ring.get_mut(slot).filter(|request| request.token == token && token > 0)?;
        request.answered = true;
        self.news = true;
        Some((token, request.place))
    }

    /// Whether one was answered since the last look.
    #[inline]
    pub fn has_response(&self) -> bool {
        self.news
    }

    /// Forgets them all.
    pub fn clear(&mut self) {
        self.ring.clear();
        (self.token, self.news) = (self.begun_at, false);
    }

    /// NACK-2 (what is measured): the time from a request to its first answer, for each that was answered
    /// since the last look. An answer names its request, so a repeated request is no ambiguity (Karn's): a
    /// late answer to the first of two measures the first. Left out they would teach nothing of a network
    /// whose round trip is longer than the first retry. Calls `f` with place and time.
    pub fn measure(&mut self, now: Nanos, mut f: impl FnMut(u32, Nanos)) {
        if !std::mem::take(&mut self.news) {
            return;
        }
        for request in self.ring.iter_mut().filter(|request| request.answered && !request.measured) {
            request.measured = true;
            f(request.place, now.saturating_sub(request.at));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fmt::Write as _;

    const LIMITS: NackLimits =
        NackLimits { guard_ns: 20, apart_ns: 0, retry_ns_min: 100, retry_ns_max: 1_000 };

    /// What happens to an ask, and when.
    enum RequestStep {
        /// The newest request is refused, not to be repeated before this has passed.
        Refused(Nanos),
        /// A frame of the range came for the newest request.
        Brought,
        /// A frame of another range came for it.
        Overtaken,
    }

    /// The requests of a receiver that looks each 10 ns, a line each: when, and which repairer.
    fn timeline(rtt_ns: Nanos, steps: &[(Nanos, RequestStep)], until: Nanos) -> String {
        let mut rtt = Rtt::default();
        rtt.on_sample(rtt_ns);
        let (mut ask, mut token, mut out) = (RequestTimer::new(20, 0), 0, String::new());
        for now in (0..until).step_by(10) {
            for (_, step) in steps.iter().filter(|(at, _)| *at == now) {
                match step {
                    RequestStep::Refused(after) => ask.on_refused(now, token, 2, *after, &LIMITS),
                    RequestStep::Brought => ask.on_frames(Some((token, 0)), true),
                    RequestStep::Overtaken => ask.on_frames(Some((token, 0)), false),
                }
            }
            ask.poll(now, &LIMITS, &rtt);
            if let Some(place) = ask.due(now) {
                token += 1;
                ask.on_sent(now, token, place, &LIMITS, &rtt);
                writeln!(out, "{now} ask {place}").unwrap();
            }
        }
        out
    }

    /// NACK-1.
    #[test]
    fn nack_1_silence_is_followed_by_the_next_repairer_after_a_delay_that_doubles() {
        let expected = "20 ask 0\n120 ask 1\n320 ask 2\n720 ask 3\n1520 ask 4\n2520 ask 5\n3520 ask 6\n";
        assert_eq!(timeline(0, &[], 4_000), expected);
    }

    /// NACK-1.
    #[test]
    fn nack_1_the_delay_is_three_round_trips_where_those_are_longer() {
        assert_eq!(timeline(100, &[], 2_000), "20 ask 0\n320 ask 1\n920 ask 2\n1920 ask 3\n");
        // Longer even than the longest delay: never sooner than the answer can be there.
        assert_eq!(timeline(600, &[], 4_000), "20 ask 0\n1820 ask 1\n3620 ask 2\n");
    }

    /// NACK-1.
    #[test]
    fn nack_1_a_long_answer_is_heard_out_before_more_is_asked_of_the_same_repairer() {
        let steps: Vec<_> = (30..90).step_by(10).map(|at| (at, RequestStep::Brought)).collect();
        assert_eq!(timeline(0, &steps[..1], 100), "20 ask 0\n50 ask 0\n");
        let steps: Vec<_> = steps.into_iter().chain([(60, RequestStep::Brought)]).collect();
        assert!(timeline(60, &steps, 200).starts_with("20 ask 0\n60 ask 0\n"));
    }

    /// NACK-1.
    #[test]
    fn nack_1_what_an_answer_has_left_out_is_asked_of_the_next_repairer_once_it_is_quiet() {
        let steps = [(70, RequestStep::Overtaken)];
        assert_eq!(timeline(60, &steps, 300), "20 ask 0\n100 ask 1\n");
    }

    /// NACK-1.
    #[test]
    fn nack_1_a_refusal_is_followed_by_the_next_repairer_after_a_guard_that_doubles_each_round() {
        let steps = [
            (30, RequestStep::Refused(0)),
            (60, RequestStep::Refused(0)),
            // The request is refused already: changes nothing.
            (70, RequestStep::Refused(0)),
            // Both repairers were asked.
            (90, RequestStep::Refused(0)),
            (140, RequestStep::Refused(0)),
            (190, RequestStep::Refused(0)),
        ];
        assert_eq!(
            timeline(0, &steps, 320),
            "20 ask 0\n50 ask 1\n80 ask 2\n130 ask 3\n180 ask 4\n270 ask 5\n"
        );
        assert_eq!(timeline(0, &[(30, RequestStep::Refused(400))], 440), "20 ask 0\n430 ask 1\n");
    }

    /// NACK-1.
    #[test]
    fn nack_1_a_refusal_of_the_rest_is_the_first_one_whether_it_comes_before_its_frames_or_behind_them() {
        let refusals = || [30, 60, 90, 140].map(|at| (at, RequestStep::Refused(0)));
        let with = |first: RequestStep, second: RequestStep, again: Nanos| {
            let rest = [(190, first), (190, second), (again, RequestStep::Refused(0))];
            timeline(0, &refusals().into_iter().chain(rest).collect::<Vec<_>>(), again + 40)
        };
        let begun = "20 ask 0\n50 ask 1\n80 ask 2\n130 ask 3\n180 ask 4\n";
        let behind = with(RequestStep::Refused(0), RequestStep::Brought, 280);
        assert_eq!(behind, format!("{begun}270 ask 5\n300 ask 6\n"), "its own delay was set before");
        let before = with(RequestStep::Brought, RequestStep::Refused(0), 220);
        assert_eq!(before, format!("{begun}210 ask 5\n240 ask 6\n"));
    }

    /// NACK-1.
    #[test]
    fn nack_1_silence_behind_refusals_waits_no_longer_than_the_first() {
        let steps = [(30, RequestStep::Refused(0)), (60, RequestStep::Refused(0))];
        assert_eq!(timeline(0, &steps, 450), "20 ask 0\n50 ask 1\n80 ask 2\n180 ask 3\n380 ask 4\n");
    }

    /// NACK-1.
    #[test]
    fn nack_1_the_jitter_is_within_half_a_guard_and_no_receiver_is_always_the_first() {
        let limits = NackLimits::default();
        let me = |number| Identity { replica: number, incarnation: 7 };
        let mut first = [0; 4];
        for seq in 1..400 {
            let guards: Vec<_> = (0..4).map(|number| limits.guard(me(number), seq)).collect();
            assert!(guards.iter().all(|guard| (20_000..=30_000).contains(guard)));
            first[(0..4).min_by_key(|at| guards[*at]).unwrap()] += 1;
        }
        assert!(first.iter().all(|count| *count > 50), "{first:?}");
    }

    /// NACK-2.
    #[test]
    fn nack_2_a_late_answer_measures_the_request_that_it_names_and_only_the_first_answer_counts() {
        let mut requests = Requests::new();
        let mut seen = Vec::new();
        let (first, second) = (requests.next(100, 0), requests.next(250, 1));
        requests.on_response(first);
        requests.measure(300, |place, ns| seen.push((place, ns)));
        requests.on_response(first);
        requests.on_response(second);
        requests.on_response(0);
        requests.on_response(99);
        requests.measure(320, |place, ns| seen.push((place, ns)));
        assert_eq!(seen, [(0, 200), (1, 70)]);
        assert!(requests.knows(first) && !requests.knows(3));
    }

    /// NACK-2.
    #[test]
    fn nack_2_the_round_trip_is_smoothed() {
        let mut rtt = Rtt::default();
        rtt.on_sample(800);
        rtt.on_sample(1_600);
        assert_eq!(rtt.smoothed_ns(), 900);
    }

    /// NACK-2.
    #[test]
    fn nack_2_a_stall_doubles_the_retry_at_most_and_is_forgotten_within_a_few_answers() {
        let mut rtt = Rtt::default();
        rtt.on_sample(800);
        rtt.on_sample(50_000_000);
        assert_eq!(rtt.smoothed_ns(), 1_500);
        (0..3).for_each(|_| rtt.on_sample(800));
        assert!(rtt.smoothed_ns() < 900, "{}", rtt.smoothed_ns());
        // The first answer of all was the stalled one.
        let mut rtt = Rtt::default();
        rtt.on_sample(50_000_000);
        (0..16).for_each(|_| rtt.on_sample(800));
        assert!(rtt.smoothed_ns() < 2_000, "{}", rtt.smoothed_ns());
    }
}
