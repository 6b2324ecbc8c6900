//! In place of adapters whose client could not be built here: they say what is missing, and nothing is
//! measured.

#[cfg(not(feature = "aeron"))]
pub mod aeron {
    use crate::peer::Adapter;

    /// The sequencer's shape.
    pub const SEQUENCER: Adapter = Adapter { name: "aeron", version, systems: Vec::new };
    /// The echo.
    pub const ECHO: Adapter = Adapter { name: "aeron-echo", version, systems: Vec::new };

    fn version() -> Result<String, String> {
        let needs = "built without it: it needs CMake 3.30, clang and libbsd-dev";
        Err(format!("{needs}; `bench/peers/run --install` installs them"))
    }

    /// No process of Aeron's.
    #[derive(Clone, Default, clap::Args)]
    pub struct Process {}

    impl Process {
        /// This one is none.
        pub fn run(&self) -> Option<Result<(), String>> {
            None
        }
    }
}

#[cfg(not(feature = "corosync"))]
pub mod corosync {
    use crate::peer::Adapter;

    /// None.
    pub const ADAPTER: Adapter = Adapter { name: "corosync", version, systems: Vec::new };

    fn version() -> Result<String, String> {
        let needs = "built without its client: it needs libcpg, libcfg, libcmap, libquorum and libvotequorum";
        Err(format!("{needs}; `bench/peers/run --install` installs them"))
    }
}

#[cfg(not(feature = "etcd"))]
pub mod etcd {
    use crate::peer::Adapter;

    /// None.
    pub const ADAPTER: Adapter = Adapter { name: "etcd", version, systems: Vec::new };

    fn version() -> Result<String, String> {
        Err("built without its client: it needs protoc; `bench/peers/run --install` installs it".to_owned())
    }
}
