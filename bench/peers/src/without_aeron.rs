//! In place of the adapter, where Aeron's C sources could not be built.

use crate::peer::Adapter;

/// The sequencer's shape.
pub const SEQUENCER: Adapter = Adapter { name: "aeron", version, systems: Vec::new };
/// The echo.
pub const ECHO: Adapter = Adapter { name: "aeron-echo", version, systems: Vec::new };

fn version() -> Result<String, String> {
    Err("built without it: it needs CMake 3.30, clang and libbsd-dev; `bench/peers/run --install` installs them".into())
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
