//! The faults that a plan can have. Each is a file: its struct, how it is drawn, and how it strikes
//! (`Strike`). A new one is a file here, a variant of [`Fault`], and its line in `strike`.

mod add;
mod ail;
mod amnesia;
mod attack;
mod carry;
mod client_crash;
mod clock_step;
mod clog;
mod close;
mod copy;
mod crash;
mod cut;
mod damage;
mod dark;
mod dies_installing;
mod disk_fails;
mod disk_full;
mod echo;
mod edge;
mod fence;
mod forged_down;
mod halved;
mod handover;
mod isolate;
mod last;
mod late_order;
mod long_suspension;
mod old_down;
mod other_cluster;
mod other_tail;
mod pause;
mod pause_client;
mod power;
mod quorum_loss;
mod reboot;
mod reconfigure;
mod reformat;
mod rejoin;
mod remove;
mod remove_declared_dead;
mod replace;
mod replay;
mod roll_back;
mod rot;
mod rotate;
mod second;
mod slow_flush;
mod strike;
mod tamper;
mod time_order;
mod two_orders;
mod upgrade;
mod vanish;

pub use add::AddFault;
pub use ail::AilFault;
pub use amnesia::AmnesiaFault;
pub use attack::AttackFault;
pub use carry::CarryFault;
pub use client_crash::ClientCrashFault;
pub use clock_step::ClockStepFault;
pub use clog::ClogFault;
pub use close::CloseFault;
pub use copy::CopyFault;
pub use crash::CrashFault;
pub use cut::CutFault;
pub use damage::DamageFault;
pub use dark::DarkFault;
pub use dies_installing::DiesInstallingFault;
pub use disk_fails::DiskFailsFault;
pub use disk_full::DiskFullFault;
pub use echo::EchoFault;
pub use fence::FenceFault;
pub use forged_down::ForgedDownFault;
pub use halved::HalvedFault;
pub use handover::HandoverFault;
pub use isolate::IsolateFault;
pub use last::LastFault;
pub use late_order::LateOrderFault;
pub use long_suspension::LongSuspensionFault;
pub use old_down::OldDownFault;
pub use other_cluster::OtherClusterFault;
pub use other_tail::OtherTailFault;
pub use pause::PauseFault;
pub use pause_client::PauseClientFault;
pub use power::PowerFault;
pub use quorum_loss::QuorumLossFault;
pub use reboot::RebootFault;
pub use reconfigure::ReconfigureFault;
pub use reformat::ReformatFault;
pub(crate) use rejoin::draw_rejoining;
pub use rejoin::{RejoinFault, has_rejoiners};
pub use remove::RemoveFault;
pub use remove_declared_dead::RemoveDeclaredDeadFault;
pub use replace::ReplaceFault;
pub use replay::ReplayFault;
pub use roll_back::RollBackFault;
pub use rot::RotFault;
pub use rotate::RotateFault;
pub use second::SecondFault;
pub use slow_flush::SlowFlushFault;
pub(crate) use strike::Strike;
pub use tamper::TamperFault;
pub use time_order::TimeOrderFault;
pub use two_orders::TwoOrdersFault;
pub use upgrade::UpgradeFault;
pub use vanish::VanishFault;

use crate::edge::EdgeFault;
use lockstep_wire::Nanos;

/// One fault.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Fault {
    /// A process dies and is started again.
    Crash(CrashFault),
    /// A machine loses its power, and its memory with it.
    Reboot(RebootFault),
    /// A journal is lost.
    Amnesia(AmnesiaFault),
    /// A process dies, and its journal is damaged before it is started again.
    Damage(DamageFault),
    /// A replica is paused.
    Pause(PauseFault),
    /// A publisher or subscriber is paused.
    PauseClient(PauseClientFault),
    /// A path is cut.
    Cut(CutFault),
    /// A replica is cut off.
    Isolate(IsolateFault),
    /// Packets of a path are delayed.
    Clog(ClogFault),
    /// A disk is nearly full for a while.
    DiskFull(DiskFullFault),
    /// All of these machines lose power at once.
    Power(PowerFault),
    /// A process dies or is stopped, and the next one starts with another configuration.
    Reconfigure(ReconfigureFault),
    /// A process dies or is stopped, and the next one is given the tail's other path.
    OtherTail(OtherTailFault),
    /// These processes are requested to stop; each machine loses power once its process has stopped.
    Dark(DarkFault),
    /// After so many calls of its disk a process dies within the next one.
    Last(LastFault),
    /// After so many calls a device fails one call.
    DiskFails(DiskFailsFault),
    /// A bit of a sealed segment changes while its replica runs.
    Rot(RotFault),
    /// A file of a journal vanishes.
    Vanish(VanishFault),
    /// A disk accepts no write for a while.
    SlowFlush(SlowFlushFault),
    /// A wall clock jumps.
    ClockStep(ClockStepFault),
    /// The replica at a node is to become a member.
    Add(AddFault),
    /// A replica is to leave the membership.
    Remove(RemoveFault),
    /// The journal of a member is lost, or was: its next incarnation takes its place.
    Replace(ReplaceFault),
    /// The journal of a member is lost; the command that replaces it is given half, and again.
    Halved(HalvedFault),
    /// The journal of a member is lost, and it rejoins by itself.
    Rejoin(RejoinFault),
    /// The journal of a replica that is no founder is lost, and formatted anew.
    Reformat(ReformatFault),
    /// The next process that begins behind a checkpoint dies in the call that stores it.
    DiesInstalling(DiesInstallingFault),
    /// One is to join and one is to leave at the same moment.
    TwoOrders(TwoOrdersFault),
    /// A command of the past arrives again.
    LateOrder(LateOrderFault),
    /// One of two members dies for long, or is cut off; and the other receives the command that it is dead.
    RemoveDeclaredDead(RemoveDeclaredDeadFault),
    /// The leader is commanded to hand over.
    Handover(HandoverFault),
    /// The operator orders the log to rise to the newest version.
    Upgrade(UpgradeFault),
    /// The operator orders the stream's time back, which ran ahead or did not.
    TimeOrder(TimeOrderFault),
    /// Nodes take a step of a rotation of keys.
    Rotate(RotateFault),
    /// A watcher's notice of a past epoch, or of the present one, arrives again.
    OldDown(OldDownFault),
    /// A node announces the leader's death without knowing its secret.
    ForgedDown(ForgedDownFault),
    /// Datagrams of the past arrive again.
    Replay(ReplayFault),
    /// A publisher or subscriber dies and is started again.
    ClientCrash(ClientCrashFault),
    /// Another process opens a publisher's name.
    Fence(FenceFault),
    /// A publisher closes its name, and opens it again.
    Close(CloseFault),
    /// A fault of the edge.
    Edge(EdgeFault),
    /// The device of a node fails.
    Ail(AilFault),
    /// Datagrams of the past return to their senders.
    Echo(EchoFault),
    /// Another cluster in the same group sends what this one sent long ago.
    OtherCluster(OtherClusterFault),
    /// An attacker on the network.
    Attack(AttackFault),
    /// An attacker on the path has no key, and drops, delays, turns round or repeats what it lets through.
    Tamper(TamperFault),
    /// The journals of a quorum are lost for good, and the operator recovers.
    QuorumLoss(QuorumLossFault),
    /// All processes are suspended.
    LongSuspension(LongSuspensionFault),
    /// The folder of a journal is copied while its replica runs.
    Copy(CopyFault),
    /// A process is killed, and its journal is replaced by the copy that was made last; its ring stays.
    RollBack(RollBackFault),
    /// A journal and its tail are copied for another machine; once more if the process stops cleanly.
    Carry(CarryFault),
    /// A second process starts on the copy that was made for another machine.
    Second(SecondFault),
}

/// A fault and its time, in nanoseconds from the beginning; suspensions are not counted.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct PlannedFault {
    /// The time.
    pub at_ns: Nanos,
    /// The fault.
    pub what: Fault,
}
