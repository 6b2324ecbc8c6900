//! Any text as the cluster's file and as the gateway's file of users: it is accepted, or refused with words.
#![no_main]

use libfuzzer_sys::fuzz_target;
use lockstep_config::Config;
use lockstep_gateway::gateway::users::Users;
use std::path::Path;

fuzz_target!(|text: &str| {
    if let Err(errors) = Config::parse(Path::new("lockstep.toml"), text, &[]) {
        assert!(!errors.to_string().is_empty());
    }
    if let Err(error) = Users::parse(text) {
        assert!(!error.is_empty());
    }
});
