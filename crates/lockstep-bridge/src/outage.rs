//! Failures of a target or a source, as lines on stderr: each once, and that it works again.

/// The failure that was printed last, while it lasts.
#[derive(Debug, Default)]
pub struct Outage(Option<String>);

impl Outage {
    /// Prints a failure that is another one than the last.
    pub fn on_failure(&mut self, name: &str, what: &str) {
        if self.0.as_deref() != Some(what) {
            say!("lockstep-bridge: {name}: {what}; retrying");
            self.0 = Some(what.to_owned());
        }
    }

    /// Prints that it is over, if there was one.
    pub fn on_success(&mut self, name: &str) {
        if self.is_on() {
            say!("lockstep-bridge: {name} works again");
            self.0 = None;
        }
    }

    /// Whether there is one.
    pub fn is_on(&self) -> bool {
        self.0.is_some()
    }
}
