//! How a leader is taken away.

use clap::ValueEnum;

/// How the leader is taken away.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum How {
    /// SIGKILL of the stamping process; its watcher speaks.
    Kill,
    /// SIGKILL of process and watcher together: nobody speaks.
    KillBoth,
    /// SIGSTOP, and SIGCONT when another leads.
    Silence,
    /// It is told to hand over, as `lockstep handover` does.
    Handover,
    /// It is told to stop (SIGTERM), and hands over before it does.
    Stop,
    /// Its network is cut, and healed when another leads.
    Partition,
    /// Not at all: whoever takes over is wrong.
    None,
}

impl How {
    /// In words.
    pub fn words(self) -> &'static str {
        match self {
            Self::Kill => "kill -9 of the stamping process",
            Self::KillBoth => "kill -9 of process and watcher together",
            Self::Silence => "SIGSTOP, later SIGCONT",
            Self::Handover => "planned handover",
            Self::Stop => "SIGTERM, which hands over",
            Self::Partition => "the leader's network is cut",
            Self::None => "nobody is struck",
        }
    }

    /// As flags call it.
    pub fn key(self) -> String {
        self.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned())
    }
}
