//! The files that a running gateway reads again at SIGHUP.

use super::Server;
use crate::gateway::limits::gateway_limits;
use crate::gateway::listeners::Listener;
use crate::gateway::user;
use crate::reloader::Reloader;
use lockstep_gateway::gateway::users::Recipient;
use lockstep_wire::Nanos;

impl Server {
    /// Reads users, certificate and key, and configuration again; an invalid file changes nothing.
    pub(super) fn reload(&mut self, reloader: &mut Reloader) {
        let now = self.clock.now();
        let mut outcomes: Vec<_> = self.listeners.iter_mut().filter_map(Listener::reload).collect();
        outcomes.push(self.reload_users(now));
        if let Some(config) = reloader.read_again(outcomes) {
            self.core.set_limits(gateway_limits(config, self.delivery));
            self.arrivals.set_tunnels(config.gateway.tunnels.clone().unwrap_or_default());
        }
    }

    fn reload_users(&mut self, now: Nanos) -> Result<String, String> {
        match user::read(&self.users) {
            Ok(users) => {
                let hears_everybody = users.iter().any(|user| user.hear.contains(&Recipient::Everybody));
                if hears_everybody && !self.core.ledger().has_broadcast() {
                    tracing::warn!(
                        "users that hear everybody receive such messages only after the gateway's next start"
                    );
                }
                self.core.set_users(now, users);
                tracing::info!("users read again");
                Ok("users read again".to_owned())
            }
            Err(failure) => {
                tracing::error!("the users stay as they were: {failure}");
                Err(format!("the users stay as they were: {failure}"))
            }
        }
    }
}
