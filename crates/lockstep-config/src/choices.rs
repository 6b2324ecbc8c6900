//! The closed sets of words that a key may take, one small enum each.
//!
//! The words are defined once: the schema lists them, the reader looks them up, the printer writes them.

use super::build::FromValue;
use super::value::Value;

/// Declares an enum whose variants are words of the file.
macro_rules! words {
    ($($(#[$outer:meta])* $name:ident { $($(#[$inner:meta])* $variant:ident = $word:literal,)+ })+) => { $(
        $(#[$outer])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        pub enum $name { $($(#[$inner])* $variant,)+ }

        impl $name {
            /// The words of the file, in the order of the variants.
            pub const WORDS: &'static [&'static str] = &[$($word),+];

            /// The variant that a word means.
            pub fn from_word(word: &str) -> Option<Self> {
                match word {
                    $($word => Some(Self::$variant),)+
                    _ => None,
                }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(match self { $(Self::$variant => $word),+ })
            }
        }

        impl FromValue for $name {
            fn from_value(value: Option<&Value>) -> Option<Self> {
                match value? {
                    Value::Word(word) => Self::from_word(word),
                    _ => None,
                }
            }
        }
    )+ };
}

words! {
    /// The kind of machines that the cluster runs on. It chooses the defaults, and the settings that are
    /// refused.
    Profile {
        /// Own machines, own cores: everything for latency, nothing that can hide a fault.
        Production = "production",
        /// Machines shared with other work, tests, one host for all: patient and polite.
        Shared = "shared",
    }

    /// What a replica does whose journal cannot prove that it is complete.
    Rejoin {
        /// It lays the journal aside, and takes its own dead place under a new identity.
        Auto = "auto",
        /// It ends, and an operator replaces it.
        Ask = "ask",
    }

    /// Whether datagrams prove who sent them.
    SecurityMode {
        /// By the keys of a key file.
        Keys = "keys",
        /// They do not: whoever reaches the network may send what a replica sends.
        None = "none",
    }

    /// The meaning of an acknowledgement.
    Durability {
        /// In the tail: survives the death of processes, and loss of power on a minority.
        Process = "process",
        /// In a segment on the device: survives loss of power everywhere.
        Power = "power",
    }

    /// The roles that a replica may take.
    Role {
        /// Stores, votes, and may lead.
        Full = "full",
        /// Votes and acknowledges; never leads.
        Witness = "witness",
    }

    /// How an archiver keeps its sealed segments.
    Compression {
        /// As they were written.
        None = "none",
        /// Packed in blocks, each with a checksum of what it unpacks to.
        Lz4 = "lz4",
    }

    /// The behaviour of the duty cycle without work.
    Idle {
        /// Polls again at once: a core of its own, the lowest latency.
        Spin = "spin",
        /// Yields the core for a turn.
        Yield = "yield",
        /// Sleeps until a socket wakes it: some 25 µs slower, and the sender pays for the wake-up.
        Park = "park",
        /// Polls while traffic comes, and sleeps while none does.
        Adapt = "adapt",
    }

    /// When the edges' clients get a message.
    Delivery {
        /// When it is final.
        Committed = "committed",
        /// When it is stamped; a takeover may take it back.
        Stamped = "stamped",
    }

    /// Whether bursts leave by UDP segmentation offload.
    Gso {
        /// Where it pays and the kernel takes it.
        Auto = "auto",
        /// Never.
        Off = "off",
    }

    /// How a line's datagrams go.
    Transport {
        /// By the kernel's sockets.
        Udp = "udp",
        /// By AF_XDP, past the kernel's network stack.
        Xdp = "xdp",
        /// By the kernel's sockets, to each member alone.
        Unicast = "unicast",
        /// By the best of these that works.
        Auto = "auto",
    }

    /// How xdp uses a card.
    XdpMode {
        /// The best that there is.
        Auto = "auto",
        /// The card reads and writes our memory.
        ZeroCopy = "zero-copy",
        /// The driver runs the program.
        Native = "native",
        /// The kernel runs it behind the driver.
        Generic = "generic",
    }

    /// The format of log lines.
    LogFormat {
        /// For people.
        Text = "text",
        /// One JSON object per line.
        Json = "json",
    }

    /// The least important log line that is written.
    LogLevel {
        /// Failures.
        Error = "error",
        /// Functions that work worse than configured.
        Warn = "warn",
        /// Each change of role, epoch, membership or health.
        Info = "info",
        /// Details that help to follow a single node.
        Debug = "debug",
        /// Everything.
        Trace = "trace",
    }
}

/// The scheduling class of the pinned thread.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Scheduling {
    /// The kernel's ordinary class.
    Other,
    /// `SCHED_FIFO` with this priority, 1 to 99.
    Fifo(u8),
}

impl std::fmt::Display for Scheduling {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Other => f.write_str("other"),
            Self::Fifo(priority) => write!(f, "fifo:{priority}"),
        }
    }
}

/// Names of a host.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct HostNames(pub Vec<String>);

impl std::str::FromStr for HostNames {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let is_name = |name: &str| {
            let letters = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
            !name.is_empty() && name.len() <= 253 && letters
        };
        let names = text.split(',').map(str::trim).map(|name| match is_name(name) {
            true => Ok(name.to_owned()),
            false => Err(format!("\"{name}\" is no name of a host")),
        });
        names.collect::<Result<_, _>>().map(Self)
    }
}

impl std::fmt::Display for HostNames {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0.join(", "))
    }
}

/// Which network interface a line uses.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum InterfaceSetting {
    /// The one that has this address.
    Address(std::net::Ipv4Addr),
    /// The one of this name, the same on every machine.
    Name(String),
}

impl InterfaceSetting {
    /// Whether it is the loopback interface, as far as its spelling tells.
    pub fn is_loopback(&self) -> bool {
        match self {
            Self::Address(address) => address.is_loopback(),
            Self::Name(name) => name == "lo",
        }
    }
}

impl std::fmt::Display for InterfaceSetting {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Address(address) => address.fmt(f),
            Self::Name(name) => f.write_str(name),
        }
    }
}
