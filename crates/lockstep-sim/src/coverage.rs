//! The events that were really generated: a run without a fault proves nothing about that fault.

use lockstep_wire::{Header, Kind};

macro_rules! events {
    ($($name:ident $text:literal,)*) => {
        /// The counted events.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        #[repr(usize)]
        pub enum Event { $(#[doc = $text] $name,)* }

        impl Event {
            /// All of them, in order.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];
            /// Their descriptions.
            pub const NAMES: &'static [&'static str] = &[$($text,)*];
        }
    };
}

events! {
    Delivered "datagrams delivered",
    MessagesInParts "messages delivered that came in parts",
    MessagesDiscarded "messages that no reader delivers, as they came too late or took too much",
    Lost "datagrams lost",
    Duplicated "datagrams duplicated",
    Reordered "datagrams reordered",
    Corrupted "datagrams corrupted",
    Replayed "old datagrams delivered again",
    Overflowed "datagrams dropped by a full socket",
    Cut "datagrams lost in a partition",
    Clogged "datagrams held by a clogged path",
    Partitions "partitions",
    PartitionsOneWay "partitions one way",
    PartitionsPartial "partitions between two",
    HalfDeaf "nodes deaf on one group",
    Clogs "paths clogged",
    Pauses "processes paused",
    LeaderPauses "leaders paused",
    Takeovers "takeovers",
    TakeoversWithin "takeovers before the one before was committed",
    SuffixReplacements "suffixes replaced",
    Overruns "suffixes that a ring did not have whole, and that were read from the journal",
    Replays "replays from another's journal",
    ReplaysDenied "replays denied",
    Installed "nodes that began behind a checkpoint of another's",
    InstalledAgain "of those, nodes that had begun behind an earlier one",
    InstallsDied "processes that died in the call that stores a checkpoint to begin behind",
    Overtaken "of those, nodes that retention overtook while they read",
    JoinedCalm "nodes without an entry at the end of the faults that reached the end of the log",
    ReplayedFrames "frames that a replay brought",
    ReaderReplays "replays that readers began from a journal",
    PreVotes "pre-votes asked",
    Prepares "promises asked",
    Refusals "refusals sent",
    StepDowns "leaders that stepped down in words",
    Handovers "handovers ordered",
    TimesOrdered "orders to set the stream's time back",
    TimesSetBack "times that the stream's time went back",
    UpgradesOrdered "upgrades of the log's version ordered",
    VersionsRaised "frames with which a log rose to a newer version",
    Downs "deaths announced",
    DownsOld "deaths announced again, of old epochs or of the living",
    DownsForged "deaths announced by a liar",
    MembersAdded "members added",
    LearnersAdded "members ordered in that had not caught up",
    MembersRemoved "members removed",
    MembersReplaced "members replaced by their next incarnation",
    WitnessesAdded "witnesses added",
    ChangesFromTwo "changes from two members",
    MembersSwapped "members replaced by their next life in one step",
    ChangesCommitted "changes committed",
    OrdersTwo "two changes ordered at once",
    OrdersLate "late copies of orders",
    Rejoins "replicas without a journal that rejoined by themselves",
    OrdersHalved "orders whose command died between two steps",
    OrdersAgain "orders that were given again",
    EventPages "pages of a replica's events that an operator asked for",
    OrdersDenied "orders denied",
    LeaderRemovalsDenied "removals of the leader denied",
    DeadDeclared "members declared dead",
    LivingDeclared "living members declared dead",
    DeclaredDeadRemoved "members removed by the operator's word",
    TakeoversWithWitness "takeovers with a witness",
    TakeoversThatWait "takeovers that wait for who is lost, as witnesses keep no more than a ring",
    TakeoversOverChange "takeovers over a change that was not committed",
    MembersCalm "changed memberships that went on in the calm",
    Crashes "replicas killed",
    LeaderCrashes "leaders killed",
    MidTurnCrashes "replicas killed before they had sent everything",
    Restarts "replicas restarted",
    LeaderRestarts "restarts of one that had led",
    Reboots "machines rebooted",
    TornWrites "machines that died in a call of their disk, and lost of it",
    CachesLost "machines that died and lost what their disk had cached",
    BlackOuts "machines that died at once",
    BlackOutsOfAll "black-outs of all machines",
    DarkenedClean "machines that died after a stop in order",
    DeathsInCalls "processes that died in a call of their disk",
    DeviceFailures "devices that failed a call",
    TornTails "processes that left a torn tail",
    CleanStops "replicas stopped in order",
    Amnesia "journals gone",
    Damages "bits flipped in a journal",
    LastCopies "journals that changed and had what no other replica stored",
    StaleBlocks "blocks of a journal that were old again",
    DamageFound "damaged journals refused",
    DamageUnseen "damage that looked like a torn write",
    Forgetful "replicas that may have forgotten, and stay silent",
    DisksFull "disks full",
    SlowFlushes "disks slow",
    JournalsFull "journals that took nothing more",
    RowsOfEpochs "replicas whose log had eight epochs without a commit, and more",
    RowsCommitted "such rows that were committed",
    Reconfigured "replicas that came back with another configuration",
    DurabilityChanged "replicas that came back with another durability",
    DurabilityProven "runs in power that brought to the device what runs before them said from memory",
    RingsResized "rings made anew in another size",
    RingsNotResized "rings that kept their size as they were needed",
    OtherTails "replicas whose tail lay at another path",
    OtherTailsRefused "replicas that needed the tail of the former path, and said so",
    ShortSends "turns in which a device took fewer datagrams than it was offered",
    NoBuffers "turns in which a device had no buffers",
    Unjoined "datagrams of a group that was not joined",
    BurstsLost "datagrams of bursts that one socket lost",
    RingsOverrun "rings in memory that overran their reader",
    Echoes "old datagrams that came back to their sender",
    OtherClusters "datagrams of another cluster",
    UnkeyedSent "datagrams of attackers without a key",
    RetiredSent "datagrams of attackers with a retired generation of keys",
    Tampered "datagrams that an attacker on the path dropped, delayed, turned round or repeated",
    RecordedSent "datagrams that an attacker sent again as they were, to whom it liked",
    ReadersForged "datagrams that readers forged",
    PublishersForged "datagrams that publishers forged",
    OrdersForged "orders in an operator's name that it did not sign",
    Ruins "quorums lost for good, or nearly",
    RecoveriesNotNeeded "quorums that were complete after all",
    Foundings "histories founded on what was left",
    FoundersDied "foundings that died in a call, and were tried again",
    FoundingsLoseCommitted "foundings without something that was committed",
    AncestorsStopped "members of the ancestor that stopped for the new history",
    PresentStopped "members that stopped for the former history, and were started again",
    ArchiversWentOver "logs that went over to the new history",
    ReadersWentOver "readers that went over to the new history",
    ReadersForgotten "readers told that they are ahead of the new history",
    ReadersDiverged "readers whose log had diverged",
    PublishersWentOver "publishers that went over to the new history",
    PublishersForgotten "publishers told that they are ahead of the new history",
    ClockSteps "clocks stepped",
    ClockStepsOfDays "clocks stepped by a day",
    ClocksUneven "clocks of another rate than that of the run",
    ClocksBroken "clocks that are wrong by more than a crystal may be",
    Suspensions "suspensions of all processes",
    SuspensionsKilled "suspensions before which all replicas were killed",
    SuspensionsStopped "suspensions before which all replicas were stopped in order",
    SuspensionsDark "suspensions before which all replicas were stopped in order, and lost their power",
    TradingDays "trading days of years on which something was committed",
    KeysRotated "steps of rotations of keys that nodes took",
    Months "months of years at whose end all were there and nothing had grown",
    LivenessChecks "moments from which a healed quorum went on",
    AheadWithoutQuorum "moments at which no quorum was left",
    TailsOfOldBoots "machines that found the tail of the boot before",
    GenesisLost "machines that died between a genesis and its first flush",
    RestartsAfterRoll "restarts behind a suffix replacement and a new segment",
    OpensInterrupted "opens under way when a leader died",
    PublisherCrashes "publishers killed",
    SubscriberCrashes "subscribers killed",
    Participants "participants started",
    ParticipantCrashes "participants killed",
    HalvesLost "participants whose publisher was lost, and which read on",
    Fences "publishers fenced",
    ViewsPassed "views that readers left for the next one as other readers did",
    Retracts "retracts",
    GatewayRetracts "retracts that gateways heard",
    GatewaysKilled "gateways killed",
    GatewaysStopped "gateways stopped in order",
    GatewaysLate "gateways that began behind the stream's beginning, which was removed",
    GatewaysFenced "gateways fenced by another of their name",
    NamesTaken "gateways refused, as another of their name lives",
    GatewayDuplicates "second gateways of a name",
    CopiesKilled "copies of an application killed",
    Snapshots "snapshots of a machine",
    CopyRetracts "copies of a machine whose newest inputs were taken back",
    CopyTakeovers "shadows of a machine that took over",
    TimersFired "timers of a machine that fired",
    FeedsKilled "feeds killed",
    DaysOrdered "orders to begin or to end a day",
    DaysMarked "orders of days that ended",
    Logins "logins accepted",
    LoginsRefused "logins refused",
    ClientMessages "messages sent to clients",
    ClientMessagesEarly "messages told to clients early",
    SessionsEnded "sessions ended at a client",
    ConnectionsBroken "connections of clients broken",
    ClientsDeaf "clients that read nothing",
    ClientsLeft "clients logged out",
    Reaped "clients disconnected for a dead gateway",
    FixLogons "logons of clients of FIX that were answered",
    FixMoved "sessions of FIX that another gateway continued",
    FixResets "resets of both numbers of a session of FIX",
    FixReports "reports that clients of FIX took",
    FixReportsAgain "reports that were sent to clients of FIX again",
    FixGapsReceived "gap fills that clients of FIX took",
    FixAskedAgain "resend requests that clients of FIX answered",
    FixSentAgain "requests that clients of FIX sent again",
    FixGapsFilled "gap fills that clients of FIX sent",
    FixRejects "requests of clients of FIX that a gateway rejected",
    FeedDatagrams "turns in which a feed sent",
    FeedMessages "messages that receivers took of feeds",
    FeedRequests "requests that feeds answered",
    ReplaysBehindRetract "readers that took back a suffix, and read what follows from a journal",
    ReplaysBehindSleep "readers that slept while a suffix was undone, took it back, and read what follows from a journal",
    Closes "publishers closed, to be opened again",
    Abandoned "subscriptions abandoned",
    PublishersLost "publishers that fell too far behind",
    OutcomesFenced "messages whose outcome was fenced",
    RolledBack "journals that were put back as they had been, under a ring that stayed",
    RolledBackWhole "of those, journals that their ring made whole",
    Seconds "second processes of one identity, on a copy of its journal elsewhere",
    SecondsClean "of those, on copies of journals that had been stopped in order",
    SecondsBehind "of those, under a clock that is behind that of the first",
    SecondsRefused "copies elsewhere that could not prove themselves complete, and did not start",
    SecondsStopped "second processes that found the first one, and stopped",
    SecondsLeft "second processes that were ended as their first one fell silent",
    ScrubFinds "damage that a scrub found",
    Rot "bits that changed in sealed segments while their replica ran",
    Vanished "files that vanished from journals",
    VanishedNamed "segments and tables that were gone, and were named",
    VanishedDerived "indices and checkpoints that were gone, and were computed anew",
    Mended "damaged segments that were mended",
    NotMended "tries to mend a segment that failed",
    SegmentsRemoved "segments removed by retention",
    SegmentsPacked "segments packed",
    SegmentsRetained "segments retained as an application needs them",
    NeedsLapsed "segments removed although an application needed them",
    DaysRetained "segments retained as the trading day needs them",
    DaysLapsed "segments removed although the trading day needed them",
    JournalsRead "journals read as a whole at the end",
    SetCuts "cuts of a home stream that counted",
    SetCutsVoid "cuts that did not count",
    SetCutsLate "cuts that were handed in late",
    SetCutsFalling "cuts with a row that falls, which do not count",
    SetRowsLowered "rows of a founded stream below the row before",
    SetRowsCutShort "rows that ended at the start of an epoch",
    SetLists "lists of a set's streams that took the place of another",
    SetFoundings "foundings of a stream of a set, besides the home stream",
    SetHomeFoundings "foundings of a home stream",
    CoordinatorsKilled "coordinators killed",
    CoordinatorsAnew "coordinators whose subscription ended, and that began anew",
    MergedBegun "merged readers that began at the first entry",
    MergedBehindCut "merged readers that began behind a cut",
    MergedResumed "merged readers that were killed, and resumed",
    MergedResumedWithin "of those, within a cut",
    MergedAnew "merged readers whose subscription ended, and that began anew",
    MergedEntries "entries that merged readers delivered",
    Messages "messages with an outcome",
    Frames "frames",
    Commits "commits counted by the oracle",
}

/// The events of runs of sets alone.
const OF_SETS: [Event; 17] = [
    Event::SetCuts,
    Event::SetCutsVoid,
    Event::SetCutsLate,
    Event::SetCutsFalling,
    Event::SetRowsLowered,
    Event::SetRowsCutShort,
    Event::SetLists,
    Event::SetFoundings,
    Event::SetHomeFoundings,
    Event::CoordinatorsKilled,
    Event::CoordinatorsAnew,
    Event::MergedBegun,
    Event::MergedBehindCut,
    Event::MergedResumed,
    Event::MergedResumedWithin,
    Event::MergedAnew,
    Event::MergedEntries,
];

/// Counts of everything above.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Coverage([u64; Event::ALL.len()]);

impl Default for Coverage {
    fn default() -> Self {
        Self([0; Event::ALL.len()])
    }
}

impl Coverage {
    /// Counts one event.
    pub fn count(&mut self, event: Event) {
        self.0[event as usize] += 1;
    }

    /// Counts an event that happened so often.
    pub(crate) fn count_times(&mut self, event: Event, times: u64) {
        self.0[event as usize] += times;
    }

    /// Counts all of these events.
    pub fn count_all(&mut self, events: impl IntoIterator<Item = Event>) {
        events.into_iter().for_each(|event| self.count(event));
    }

    /// Counts a datagram of an election.
    pub fn count_kind(&mut self, bytes: &[u8]) {
        match Header::peek(bytes).and_then(|header| Kind::from_u8(header.kind)) {
            Some(Kind::PreVote) => self.count(Event::PreVotes),
            Some(Kind::Prepare) => self.count(Event::Prepares),
            Some(Kind::Refuse) => self.count(Event::Refusals),
            Some(Kind::StepDown) => self.count(Event::StepDowns),
            _ => {}
        }
    }

    /// The count of an event.
    pub fn get(&self, event: Event) -> u64 {
        self.0[event as usize]
    }

    /// The description of an event.
    fn name(event: Event) -> &'static str {
        Event::NAMES[event as usize]
    }

    /// Adds another run's.
    pub fn add(&mut self, other: &Self) {
        for (count, more) in self.0.iter_mut().zip(other.0) {
            *count += more;
        }
    }

    /// The events of a set that never happened.
    pub fn missing_of_set(&self) -> Vec<&'static str> {
        let zero = OF_SETS.iter().filter(|event| self.get(**event) == 0);
        zero.map(|event| Self::name(*event)).collect()
    }

    /// The events that should have happened and never did.
    pub fn missing(&self) -> Vec<&'static str> {
        let zero = self.0.iter().zip(Event::NAMES).filter(|(count, _)| **count == 0);
        let of_sets = OF_SETS.map(Self::name);
        let rare = [
            Event::DamageUnseen,
            Event::LastCopies,
            Event::Overruns,
            Event::ReplaysDenied,
            Event::TakeoversThatWait,
            Event::Overtaken,
            Event::PresentStopped,
            Event::ReadersDiverged,
            Event::DaysLapsed,
            Event::GatewaysLate,
            Event::TradingDays,
            Event::Months,
            Event::KeysRotated,
        ]
        .map(Self::name);
        let rare = |name: &&str| rare.contains(name);
        zero.map(|(_, name)| *name).filter(|name| !rare(name) && !of_sets.contains(name)).collect()
    }
}

impl std::fmt::Display for Coverage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (count, name) in self.0.iter().zip(Event::NAMES) {
            writeln!(f, "{count:>14}  {name}")?;
        }
        Ok(())
    }
}
