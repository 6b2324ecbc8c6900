//! An [`Endpoint`] from the cluster's file.

use crate::endpoint::Endpoint;
use lockstep_config::{Config, ConfigErrors, KeyUse};
use lockstep_core::engine::leader_contact::leaderless_ns_max;
use lockstep_wire::CHANNELS;
use std::path::Path;

impl Endpoint {
    /// The endpoint of the cluster's file, found as by every command of `lockstep`.
    ///
    /// | variable | meaning |
    /// |---|---|
    /// | `LOCKSTEP_CONFIG` | path of the file; without it `/etc/lockstep/lockstep.toml` |
    /// | `LOCKSTEP_` + key in capitals, `.` as `_` | replaces the key's value for this process, e.g. `LOCKSTEP_LINES_1_INTERFACE=eth2`, `LOCKSTEP_PUBLISHER_WINDOW=4096` |
    ///
    /// `docs/CONFIGURATION.md` lists the keys.
    ///
    /// # Errors
    /// All problems of file and variables at once, with the lines of the file.
    pub fn from_env() -> Result<Self, ConfigErrors> {
        Self::from_config(&Config::from_env()?)
    }

    /// The endpoint of the cluster's file at `path`. The variables of [`Endpoint::from_env`] apply, except
    /// `LOCKSTEP_CONFIG`.
    ///
    /// # Errors
    /// As [`Endpoint::from_env`].
    pub fn from_file(path: impl AsRef<Path>) -> Result<Self, ConfigErrors> {
        Self::from_config(&Config::from_file(path)?)
    }

    /// The endpoint of a configuration that was read before.
    ///
    /// # Errors
    /// The program's key file is missing or invalid.
    pub fn from_config(config: &Config) -> Result<Self, ConfigErrors> {
        Self::with_keys_of(config, KeyUse::Handle)
    }

    /// The endpoint of an operator's command, which gives orders if its host has a replica's keys.
    ///
    /// # Errors
    /// As [`Endpoint::from_config`].
    #[doc(hidden)]
    pub fn for_operator(config: &Config) -> Result<Self, ConfigErrors> {
        Self::with_keys_of(config, KeyUse::Operator)
    }

    /// The endpoint of a gateway, which may have a key of its own (`gateway.keys`).
    ///
    /// # Errors
    /// As [`Endpoint::from_config`].
    #[doc(hidden)]
    pub fn for_gateway(config: &Config) -> Result<Self, ConfigErrors> {
        Self::with_keys_of(config, KeyUse::Gateway)
    }

    /// The endpoint of a coordinator in one stream of its set; it may have a key of its own
    /// (`coordinator.keys`).
    ///
    /// # Errors
    /// As [`Endpoint::from_config`].
    #[doc(hidden)]
    pub fn for_coordinator(config: &Config) -> Result<Self, ConfigErrors> {
        Self::with_keys_of(config, KeyUse::Coordinator)
    }

    /// As [`Endpoint::from_config`], for a program that needs the replicas' keys (`replica.keys`).
    ///
    /// # Errors
    /// As [`Endpoint::from_config`].
    #[doc(hidden)]
    pub fn for_node(config: &Config) -> Result<Self, ConfigErrors> {
        Self::with_keys_of(config, KeyUse::Node)
    }

    fn with_keys_of(config: &Config, usage: KeyUse) -> Result<Self, ConfigErrors> {
        let keys = config.keys(usage)?;
        Ok(Self {
            udp: config.udp(),
            transport: config.transport(0, None, false, &keys),
            second: config.second(None, None, false, &keys),
            keys,
            key_file: config.key_file(usage),
            fault_injection: config.fault_injection(),
            memory: config.memory(),
            mtu: config.mtu(),
            replicas: config.replicas.iter().map(|replica| replica.unicast).collect(),
            sources: config.sources().collect(),
            repairers: config.repairers().collect(),
            nack: config.nack(),
            subscriber_buffer_bytes: config.subscriber.buffer_bytes as usize,
            subscriber_parts_bytes: config.subscriber.parts_bytes as usize,
            message_len_max: config.stream.message_len_max as usize,
            message_len_max_of: {
                let limits = config.channels.iter();
                limits.map(|channel| (CHANNELS + channel.id, channel.message_len_max as usize)).collect()
            },
            window_entries: config.publisher.window_entries,
            publisher_buffer_bytes: config.publisher.buffer_bytes as usize,
            resend_ns_min: config.timing.resend_min_ns,
            resend_ns_max: config.timing.resend_max_ns,
            heartbeat_interval_ns: config.timing.heartbeat_interval_ns,
            leaderless_ns_max: leaderless_ns_max(
                config.timing.heartbeat_interval_ns,
                config.timing.failure_timeout_ns,
            ),
            idle: config.idle(),
            counters: config.counters_folder(),
        })
    }
}
