//! # planted: the rules, broken on purpose
//!
//! A checker that never found an error proves nothing. Each mutation is planted at the one place whose rule
//! it breaks, and tests of `lockstep-sim`, `lockstep-replica` and others show that the explorer, the
//! simulator or a named test finds it.
//!
//! A mutation is planted for one thread, and only in builds with debug assertions: in all others
//! [`planted`] is a constant `false`, which the compiler removes.
//!
//! Most mutations break safety in a model of the protocol. The others are bugs that real systems had, or that
//! leave a cluster stuck.

macro_rules! mutations {
    ($($name:ident $rule:literal $what:literal,)*) => {
        /// A mutation of a rule. Its sentence says what the code does instead.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        pub enum Mutation { $(#[doc = $what] $name,)* }

        impl Mutation {
            /// All mutations, each with the rule that it breaks and what the code does instead.
            pub const ALL: &'static [(Self, &'static str, &'static str)] =
                &[$((Self::$name, $rule, $what),)*];
        }
    };
}

mutations! {
    SameEpochAfterRestart "S1" "a leader that restarts stamps on in its old epoch",
    SentBeforeStored "S1" "a frame is sent before the journal publishes it",
    PromiseNotStored "S2" "a promise is said and not stored",
    AckBelowPromise "S2" "an ack below the promise",
    FollowsLowerEpoch "S2" "a lower epoch than the promised one is followed",
    PromisesLower "S2" "a lower ballot is promised after a higher one",
    StampsAfterPromise "S2" "a leader stamps on after its own promise to another",
    OneDatagramDiverges "DIVERGE-1" "one datagram with another chain proves that the logs differ",
    AckByLength "S3" "an ack goes by the length of the log alone",
    AckOfAnyEpochCounts "S4" "acks of any epoch count",
    MinorityCommits "S4" "one vote too few commits",
    HigherEvidenceApplied "S4" "a commit announced in a higher epoch is applied to the own log",
    EarlierTermsCommit "S4" "acks commit what lies below the epoch's start",
    CommitPastOwnLog "S4" "commit goes further than the own log",
    ChangeNotCounted "S4" "the counter outlives its membership: a change is not counted with",
    NoAdoption "S5" "a candidate leads with its own log, whatever is promised",
    MinorityPromises "S5" "one promise is enough",
    GreatestLastOnly "S5" "the longest log is adopted, whatever its epoch",
    GreatestAcceptedOnly "S5" "the newest log is adopted, however short",
    UnlistedLeads "S5" "a candidate that its log does not list leads",
    CutThenFill "S7" "the suffix is exchanged when the first frame of the new one is held",
    TornReplacement "S7" "recovery takes staged frames for the log",
    AcceptedBeforeLog "S7" "an epoch is acknowledged when its start is known, before the log is",
    PrefixRetainedUnproven "S7" "what lies below the table of a new start is kept without proof",
    SuffixNotReplaced "S7" "nothing of the own log is exchanged for a new epoch's",
    NotUndone "S8" "what an exchanged suffix changed is not taken back",
    AdoptedForgotten "S8" "a new leader forgets whose messages its uncommitted part holds",
    NoHoldBack "S8" "a message is stamped before the one before it",
    NotOnce "S8" "a message that is stamped already is stamped again",
    OldIncarnationCounts "S9" "acks and promises of an earlier incarnation count",
    IdentityReusedAfterLoss "S9" "a replica that lost its disk goes on under its identity",
    OwnDurabilityIgnored "S9" "an ack goes by the epoch's durability alone, a start by the own one",
    DurabilityForgotten "S9" "a run forgets under which durability the run before spoke",
    ReadersWordCounts "AUTH-2" "a replica goes by the word of another one's tag that readers can write",
    RetiredGenerationCounts "AUTH-3" "a datagram that a retired generation seals is opened",
    RetiredIsNotReplayed "AUTH-3" "a replayed frame that a retired generation seals is not opened",
    OthersDoNotCount "AUTH-3" "while keys are rotated only the generation that seals is opened",
    RecipientsIgnored "AUTH-11" "a name is addressed by everybody, whatever its rule says",
    RightsIgnored "AUTH-5" "a key publishes under every name, to every destination",
    AnyoneAttests "AUTH-8" "any key opens a notary's name and publishes to the channel of notaries",
    AnyoneRelates "AUTH-12" "any key opens a set's name, and any name publishes to the channel of sets",
    AnyCutCounts "MERGE-1" "a cut that does not name the last one counts",
    RowsNotAwaited "MERGE-3" "a reader delivers a cut before it has what the rows name",
    RowsMayFall "MERGE-1" "a cut counts with a row that falls below that of the cut before",
    RowsWithoutEpoch "MERGE-2" "a row ends at its bound, whatever epoch begins below it",
    MergedByArrival "MERGE-3" "what arrives first is merged first",
    RestOfCutSkipped "MERGE-3" "who resumes within a cut goes on behind it",
    CutsPromiseMore "MERGE-4" "a row is one entry above what is committed",
    BeginsAtAnyCut "MERGE-5" "a reader begins behind a cut that no later one names",
    MergedTimeFalls "MERGE-7" "the time of a merged entry is its own stamp",
    SignatureUnchecked "AUTH-9" "an order whose signature does not hold is carried out",
    AnyRingIsOwn "S9" "any tail of this boot and identity is taken for the last one",
    OlderNotSynced "S9" "only the newest segment is brought to the device",
    CleanBeforeSynced "S9" "a stop is called clean before the device has the segments",
    MarkedFirst "S9" "a start marks the journal as in use before it has what else it needs",
    MarkedBeforeLabel "S9" "a start marks the journal as in use before its ring is there",
    MarkedInOneCopy "S9" "a start marks one copy of the superblock as in use",
    OlderCountedDurable "S9" "a run in power counts as durable what older segments lack",
    ProvenTooEarly "S9" "a run in power is said to have all of before on the device before it has",
    FoundationRemoved "S8" "retention removes segments although the only checkpoint behind them is of another log",
    BlankIsTorn "S9" "a group with a changed bit and a sector of zeros is taken for torn, and cut",
    RingNumberTwice "S9" "a number of a ring is given again after a start that failed",
    BufferedFramesStay "S10" "frames that wait are not forgotten when a new epoch begins",
    PrefixNotProven "S10" "what lies below the table of a start is taken from anybody",
    LowerEpochTaken "S10" "data of a lower epoch is taken after a higher one has begun",
    DeliveredStays "S10" "a reader keeps what it passed on, whatever the new table owns",
    RepairOfOtherEpoch "S11" "uncommitted frames are repaired to who follows another epoch",
    RepairIsFinal "S11" "a repaired frame is taken for final",
    SalvageFromAnyEpoch "salvage" "a candidate takes in frames of any epoch",
    ChangeDoesNotWait "membership" "a change does not wait for the one before",
    ChangeBeforeStart "membership" "a change does not wait for the epoch's start",
    PairPromisesAfterAlone "two members" "promises of the membership after a change elect alone",
    PairCommitsAfterAlone "two members" "a change is committed by the membership after it alone",
    SwapCountedOnce "two members" "one that takes the place of another is counted by the members after it alone",
    SwapNotSettled "stuck" "no entry says that a replacement is committed",
    HandoverWithoutPromises "others" "the successor of a handover leads without promises",
    UncommittedOpenReported "opens" "a publisher is told an open, and a last number, that are not committed",
    LateOpenFences "opens" "a late copy of an old open fences the newer process",
    TableLosesRows "stuck" "an epoch's table leaves out the epochs before it",
    PromisedCommitLost "stuck" "a new leader does not call committed what a promise called so",
    UnlistedLeaderDropped "stuck" "frames of a leader whom the own membership does not list are dropped",
    DeafLeaderStays "stuck" "a leader that hears nobody goes on beating",
    PromiseNeverReleased "stuck" "who promised to another never campaigns again",
    AncestorUnbounded "LINEAGE-1" "a frame of a former history is taken above the seq at which that was left",
    OtherRepairersReportTaken "LINEAGE-1" "what a giver of another history calls committed is taken",
    VotesBelowFounding "S12" "a node that follows a later history votes by the list of the one before",
    MemberGoesOver "S12" "a member of a history that was left goes on in the one that was founded on it",
    AheadGoesOn "LINEAGE-2" "a reader that is ahead of a founding goes on without a word",
    HistoryChangesAnywhere "LINEAGE-3" "a journal takes frames of another history behind its own without a founding",
    FoundedOnUnsynced "S7" "a history is founded on segments that the device does not have",
    FounderFirst "S7" "a journal is the founder's before the founding is there",
    FounderInherits "S9" "a founder is judged by what the former identity has said",
    EvidenceIsLoss "S9" "damage behind the log that a history was founded on is taken for a loss of the founder's",
    AnyFoundingIsOurs "S7" "a founding of a recovery that did not get to its end is put behind the log",
    MemberByName "REPAIR-7" "a request in a member's name is the member's, whatever address it comes from",
    AnyAddressProved "PROOF-1" "frames are sent to an address that has not proved itself",
    LeaderRepairs "REPAIR-6" "a leader repairs what others hold",
    RepeatsAnswered "REPAIR-2" "a repeated request is answered again",
    EachAlone "REPAIR-3" "everybody who lost a frame is given a copy of its own",
    NoBudget "REPAIR-4" "repairs are given without a budget",
    StalledLeaderSpeaks "others" "a leader that was paused stamps before it has looked",
    EchoIsImpostor "ALIVE-1" "an own datagram that comes late stops the node",
    DuplicateStays "ALIVE-1" "who finds that an earlier process of its identity lives goes on",
    VotesUnlooked "ALIVE-1" "a process votes before it has asked whether another one of its identity lives",
    AgeByOwnClock "others" "retention by age goes by the node's own clock",
    ClockNotChecked "others" "nobody compares the stream's time with its own clock",
    OwnClockAlone "CLOCK-1" "a leader stamps by its own clock, whatever those of others show",
    TimeFallsUnordered "CLOCK-2" "a leader whose clock is behind the stream's time stamps by it",
    TimeStaysOrdered "CLOCK-2" "an order of time leaves the stream's time where it is",
    ReplyFromHalfARing "opens" "a publisher is told its last number as the table has it where the ring has lost what is not committed",
    TablesOfHalfASuffix "opens" "a suffix that memory has damaged is replaced by what can be read of the other one",
    OpenerNotNotified "opens" "an open that finds no room is dropped without a word",
    RoundsJump "others" "a round is believed however far it jumps",
    StampedIsFinal "edge" "clients count what a gateway is told as stamped",
    RetractKeepsOne "edge" "a gateway keeps the first of what a takeover took back",
    FinalTooEarly "edge" "a gateway takes one message more for final than is committed",
    OlderLoginCounts "edge" "what a login of the day before says is numbered within the new day",
    LastNumberStays "edge" "a client's last number outlives its trading day",
    LoginForgetsLast "edge" "a client that logs in is told that the stream has nothing of it",
    NumberTwiceTaken "edge" "a client's number that the stream has is published again",
    ResumesBehind "edge" "a client that resumes is sent what follows the message that it asked for",
    EndBeforeRest "edge" "a session ends before the rest of its messages is sent",
    DayNotTurned "edge" "a client goes on over the begin of another day",
    OutsideCounts "edge" "what is published between two days has a number",
    NeverReaps "edge" "nobody disconnects the clients of a gateway that is gone",
    LivingReaped "edge" "clients of a gateway that lives are disconnected",
    DisconnectForgotten "edge" "a client that left is not disconnected in the stream",
    FencedGoesOn "edge" "a gateway whose name another one has opened goes on",
    PartialSendLost "edge" "what a connection did not take at once is not sent any more",
    BlockedForgotten "edge" "what a client sent while it may send no more is dropped",
    ResumesTooLate "edge" "a client that comes back asks for one message too late",
    FixCountsHere "edge" "a gateway numbers what it sends a client of FIX from the client's login on",
    UnreadNamesNobodys "edge" "a gateway that has not read every name lets in who receives one that it does not know",
    FixForgetsSent "edge" "a gateway expects of a client of FIX what the stream has already",
    FixGapOverReport "edge" "a resend fills the place of a report",
    NumberByTheWish "edge" "an application's outputs are numbered in the order in which they are handed in",
    EveryOrderSetsBack "edge" "an application is told that time is set back which it has not seen run ahead",
    BelowLastHandedIn "edge" "an application goes on behind what the stream had, with its first output",
    OutputBeforeCommit "edge" "what follows from an entry that is not committed is published",
    SnapshotForgets "edge" "a snapshot leaves out what was produced and not read",
    CalendarForgetsTurn "edge" "a day begins in an open one",
    FeedNumbersGoOn "edge" "a feed's numbers go on over the begin of a day",
    HeartbeatBehind "edge" "a feed's heartbeat tells of one message less than there are",
    FeedEndsBefore "edge" "a feed's session ends before its last message",
    AnswerOff "edge" "a feed answers a request with what follows",
    CopyDelivered "edge" "a receiver delivers again what it has",
    GapNotSeen "edge" "a receiver asks for nothing",
    TableEnds "stuck" "an epoch's start lists all epochs without a commit, or nobody leads",
    FullMissesLeader "SUSPECT-3" "who stores nothing itself misses the leader because nothing moves",
    FullCampaigns "ELECT-3" "who has no room for an epoch's start asks for promises",
    ChangeNotUndone "S8" "a change of the members stays open that an exchange has taken away",
    EpochsNotUndone "S8" "an exchange leaves the epochs of the old suffix in the table",
    ChangeForgotten "S8" "a change of the members is taken for committed when anything is",
    EpochsForgotten "S8" "epochs are taken for committed when anything is",
    OpenNotUndone "S8" "an open that an exchange has taken away stays in the table",
    NumberNotUndone "S8" "numbers that an exchange has taken away stay in the table",
    UndoForgotten "S8" "what undoes an open is forgotten when anything is committed",
    NameNotFreed "S8" "a name keeps its id though its first open was taken away",
    UndoNotRecovered "S8" "a start forgets what undoes an open that is not committed",
    ChangeNotRecovered "S8" "a start forgets that a change of the members is not committed",
    OpenFrameNotDropped "S8" "who stops leading keeps what its open frame has changed",
    HoldBackNotCleared "S8" "who stops leading keeps what came before its turn",
    OutgoingNotCleared "S1" "who stops leading keeps what waits to be sent",
    WindowNotReset "WIN-1" "a new leader counts the window of its former epoch",
    AcksOutliveEpoch "S4" "acks of the former epoch count in the next",
    CutStaysStored "S4" "what a cut took away counts as held",
    StartFrameStale "stuck" "the first epoch's start is given for every epoch's",
    HoldLeaks "INGRESS-1" "places of the pool are lost with what is thrown away",
    StoreLeaks "pools" "places for frames are lost with each frame that is used",
    ForgottenLeaks "pools" "places for frames are lost with those that a new epoch forgets",
    RetractNotReported "S10" "an application is not told what was taken back",
    DeliveredBeforeCommit "S4" "a committed reader is told what is only stamped",
    HandoverToLaggard "handover" "a leader hands over to who lacks a part of its log",
    HandoverToAnother "handover" "a leader hands over to another one than was named",
    LateOrderTaken "MEMBER-1" "an order is obeyed whatever membership it follows",
    ReplicaListedTwice "MEMBER-1" "an identity is added while another one of the replica is listed",
    LeaderRemoved "MEMBER-1" "a leader removes itself",
    LastMemberRemoved "MEMBER-1" "the last member that may lead is removed",
    RunLeaks "pools" "runs of a publisher's window are lost with the messages that have their fate",
    DueLeaks "pools" "a datagram that was due and is stamped counts as due for ever",
    EndingLeaks "pools" "a name whose end was taken back counts as ending for ever",
    AnyAnswerIsLoss "MCAST-1" "a handle calls the groups lost where nobody leads, as a standby answers it",
    PartsSpanLonger "PARTS-1" "a message in parts is joined although one entry more than allowed lies behind its first part",
    PartsUnbounded "PARTS-1" "messages in parts stay open however many bytes they take",
    DiscardedCommits "PARTS-1" "a publisher is told that a message is committed that no reader delivers",
    PartsRetained "pools" "messages in parts that were delivered and are final are kept",
    ShareUnbounded "REPAIR-4" "one requester saves up more than its share",
    AskerCountsTwice "REPAIR-3" "one requester that asks again counts as another one",
    PendingOverwritten "pools" "a submission that was overwritten is kept all the same",
    RepairerTwice "pools" "a repairer that is known is added again",
    PlaceLeaks "edge" "the place of a connection that is closed is not used again",
    HearerStays "edge" "a connection that is over hears on",
    CheckLeaks "edge" "a password that was checked counts as being checked for ever",
    RetractedCounts "edge" "what a takeover took back counts among what waits",
    NonceNotUndone "S8" "the nonce of an open that an exchange has taken away stays",
    ClosedNotUndone "S8" "a close that an exchange has taken away stays",
    SealForgetsUndo "S8" "a checkpoint forgets what undoes an open that is not committed",
    SealForgetsChange "S8" "a checkpoint forgets that a change of the members is not committed",
    SealKeepsStart "S8" "a checkpoint keeps the first epoch's start",
    SealForgetsClose "S8" "a checkpoint has what was closed as open",
    SealForgetsNonce "S8" "a checkpoint forgets the nonce of a name that is opened again",
    HandoverForEver "handover" "a handover that nobody can take never ends",
    StampsWhileDraining "handover" "a leader that hands over stamps on",
    VersionForgotten "VERSION-1" "a new leader stamps frames of the oldest version, whatever its log has",
    BlankAbstains "S12" "a node that stores nothing votes for no candidate that has the genesis alone",
    OldStepDownObeyed "stable" "a leader is missed as the one of a former epoch has stopped",
    AnySecretKills "stable" "a notice of death is believed without its secret",
    HeartbeatsCountedTwice "stable" "a leader is missed before its time is over",
    DeliveryOff "events" "a reader is told of a message for another destination",
    TimeOff "events" "a reader is told of a later time than that of the message",
    CaughtUpEarly "events" "a reader is told that it has everything up to the commit, and not to where it is",
    PassedNotReported "events" "an entry that tells nothing is passed over without a word",
    LastOff "events" "an opener is told a last number that is one too high",
    UnstampedNotReported "events" "a publisher is not told that a place was taken back",
    ConditionTwice "events" "a condition that holds is told again",
    ReplyOfTableEnd "replies" "a reply has the last number as the table has it, committed or not",
    ReplyKeepsNonce "replies" "a reply gives the nonce of a closed publisher",
    StatusOfPromise "replies" "a status tells the epoch of the log as the promise",
    StatusOwnAck "replies" "a status tells of its sender what it has acknowledged to others",
    HeartbeatOldStart "replies" "a beat tells the first epoch's start",
    AnswerOfAnother "replies" "what is asked for in another epoch is refused as not there yet",
    NoticeOfStamped "replies" "a leader tells that it misses what it has stamped last",
    SuccessorsOff "replies" "a beat names its own leader as a successor",
    NonceRedrawn "replies" "a process draws another nonce for each ballot",
    ReplyBehindCommit "replies" "a reply tells what was before an open or a close that is committed in this turn",
    WaitsForRemembered "events" "a candidate tells that a witness has dropped what it has",
    AnyBoundBelieved "others" "an ack tells of what is stamped, whoever says it and however far it reaches",
    OlderCopyIsTorn "S9" "segments that lack what the ring knows them to hold are taken for the newest, in power",
    HeartbeatsMadeUp "BEAT-1" "a leader that was suspended makes up for each beat that it missed",
    SlowSourceLeft "replays" "a journal that has not answered yet counts as one that has no more",
    LeftoversAreIdle "idle" "a turn that delivers what an earlier one left, and leaves more, counts as idle",
    OutcomesAreIdle "idle" "a turn that reports outcomes although nothing arrived counts as idle",
    AnyCommitProves "S10" "a committed frame proves the log before it, whatever that log is",
    BaseAboveCommit "S6" "a node begins behind a checkpoint of what is not committed",
    BaseUnderRecords "S6" "a node with a log begins behind a checkpoint that is ahead of it",
    BaseNotPromised "S2" "a node that begins behind a checkpoint does not promise the epoch of its log",
    BaseUncommitted "S4" "what a checkpoint covers is not taken for committed",
    BaseUnjudged "S8" "a checkpoint is believed whatever it says",
    BaseNotStored "S9" "a node begins behind a checkpoint that the device does not have",
    BaseNotAskedFor "stuck" "a node that holds nothing asks for the beginning of the stream for ever",
    BaseBegunForEver "stuck" "a node that has begun behind a checkpoint never begins behind a later one",
    BehindNeverGone "replays" "a source that lies behind is waited for, whatever the others have removed",
    LostNeverGone "replays" "a source that cannot be reached is waited for, whatever the others say",
    GoneUnnamed "vanished" "a segment that is gone is named by nobody",
    BaseGoneUnnamed "vanished" "the tables of what retention removed are gone, and nobody names them",
    GoneCommitted "S4" "what is gone from a journal's beginning counts as removed, and so as committed",
    BaseBeforeEpochs "stuck" "retention leaves a checkpoint with which no node can begin",
    CachedIsThrough "S7" "by process too a group counts as on the device when the next one is written",
    HoleIsNoEnd "stuck" "the log goes on behind a segment that the power has taken a part of",
    BegunUnrecorded "S9" "acks rest on a segment whose file the superblock does not name",
    GoneNotDerived "vanished" "an index that is gone is not computed anew",
    RejoinsUnproven "REJOIN-1" "a replica without a replica's keys gives up its journal for a new identity",
    RejoinsBesideItself "REJOIN-1" "a replica takes the place of an identity that lives",
    RejoinsBelowQuorum "REJOIN-1" "a replica gives up its journal where no quorum is left",
    RejoinsAtOnce "REJOIN-1" "a replica gives up its journal while another change is open",
    TooOldAskedFirst "NACK-3" "who has said that its ring begins later is asked first for what is older",
    RequestsWithoutRoom "NACK-1" "who has no room for what comes next asks for it again and again",
    DeadlineStays "idle" "a deadline that has passed stays the next one, and nothing is done at it",
}

#[cfg(debug_assertions)]
mod thread {
    use super::Mutation;
    use std::cell::Cell;
    use std::sync::Once;

    thread_local! {
        static PLANTED: Cell<Option<Mutation>> = const { Cell::new(None) };
    }

    /// Restores the former mutation, also if the code under test panics.
    struct Restored(Option<Mutation>);

    impl Drop for Restored {
        fn drop(&mut self) {
            PLANTED.set(self.0);
        }
    }

    /// Runs `run` with this mutation planted on this thread, or with none. A judge looks for the panics of a
    /// broken rule, so they are not printed while a mutation is planted.
    pub fn with_planted<T>(mutation: Option<Mutation>, run: impl FnOnce() -> T) -> T {
        static QUIET: Once = Once::new();
        QUIET.call_once(|| {
            let print = std::panic::take_hook();
            std::panic::set_hook(Box::new(move |panic| {
                if planted_here().is_none() {
                    print(panic);
                }
            }));
        });
        let _restored = Restored(PLANTED.replace(mutation));
        run()
    }

    /// The mutation that is planted on this thread.
    pub fn planted_here() -> Option<Mutation> {
        PLANTED.get()
    }

    /// Whether this mutation is planted on this thread.
    #[inline]
    pub fn planted(mutation: Mutation) -> bool {
        PLANTED.get() == Some(mutation)
    }
}

#[cfg(debug_assertions)]
pub use thread::{planted, planted_here, with_planted};

/// Without debug assertions no mutation is ever planted.
#[cfg(not(debug_assertions))]
#[inline(always)]
pub const fn planted(_: Mutation) -> bool {
    false
}

/// The mutation of the thread that made it, for the threads that it starts.
#[derive(Clone, Copy, Debug)]
pub struct Inherited(#[cfg(debug_assertions)] Option<Mutation>);

impl Inherited {
    /// The mutation of this thread.
    pub fn of_this_thread() -> Self {
        Self(
            #[cfg(debug_assertions)]
            planted_here(),
        )
    }

    /// Runs `run` with that mutation, on a thread that was started by the one that made this value.
    pub fn run<T>(self, run: impl FnOnce() -> T) -> T {
        #[cfg(debug_assertions)]
        if self.0.is_some() {
            return with_planted(self.0, run);
        }
        run()
    }
}
