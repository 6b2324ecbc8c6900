//! The processes of a system, one on each node: started, killed and started anew by their own ids, and ended
//! with this handle.

use crate::ground::{Ground, NODES};
use std::fs::File;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Instant;

/// Lines of a log that are shown when something is wrong.
const LAST_LINES: usize = 8;
/// Most bytes of a line that are shown.
const LINE_LEN_MAX: usize = 300;

/// How to start what runs on a node.
pub type Recipe = Box<dyn Fn(usize) -> Result<Command, String>>;

/// A recipe that is always the same: one command for each node.
pub fn again(commands: Vec<Command>) -> Recipe {
    Box::new(move |node| {
        let wanted = commands.get(node - 1).ok_or_else(|| format!("nothing runs on node {node}"))?;
        let mut command = Command::new(wanted.get_program());
        command.args(wanted.get_args());
        for (name, value) in wanted.get_envs() {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        Ok(command)
    })
}

/// See the module.
pub struct Daemons {
    recipe: Recipe,
    running: [Option<Child>; NODES],
    /// Killed, and perhaps not gone yet.
    ending: Vec<Child>,
    folder: PathBuf,
}

impl Daemons {
    /// None yet. What they say goes into files of the ground's.
    pub fn new(ground: &Ground, recipe: Recipe) -> Self {
        Self { recipe, running: Default::default(), ending: Vec::new(), folder: ground.memory().to_owned() }
    }

    fn log(&self, node: usize) -> PathBuf {
        self.folder.join(format!("node-{node}.log"))
    }

    /// Starts one, once whoever was killed has ended.
    ///
    /// # Errors
    /// It did not start.
    pub fn start(&mut self, node: usize) -> Result<(), String> {
        let fails = |error: std::io::Error| format!("starting the daemon of node {node}: {error}");
        for mut child in self.ending.drain(..) {
            child.wait().map_err(fails)?;
        }
        let mut command = (self.recipe)(node)?;
        let log = File::options().create(true).append(true).open(self.log(node)).map_err(fails)?;
        let out = log.try_clone().map_err(fails)?;
        // Its input stays open as long as this handle: some end with it.
        command.stdin(Stdio::piped()).stdout(out).stderr(log);
        self.running[node - 1] = Some(command.spawn().map_err(fails)?);
        Ok(())
    }

    /// Starts all.
    ///
    /// # Errors
    /// One did not start.
    pub fn start_all(&mut self) -> Result<(), String> {
        (1..=NODES).try_for_each(|node| self.start(node))
    }

    /// Kills one with SIGKILL, and returns when the signal was sent.
    ///
    /// # Errors
    /// It is not running.
    pub fn kill(&mut self, node: usize) -> Result<Instant, String> {
        let running = self.running[node - 1].take();
        let mut child = running.ok_or_else(|| format!("nothing runs on node {node} that could be killed"))?;
        let at = Instant::now();
        child.kill().map_err(|error| format!("killing the daemon of node {node}: {error}"))?;
        self.ending.push(child);
        Ok(at)
    }

    /// Whether all run that were started and not killed.
    ///
    /// # Errors
    /// One has ended by itself: which, how, and its last words.
    pub fn check(&mut self) -> Result<(), String> {
        for node in 1..=NODES {
            let Some(child) = &mut self.running[node - 1] else { continue };
            if let Ok(Some(status)) = child.try_wait() {
                return Err(format!(
                    "the daemon of node {node} ended by itself ({status}){}",
                    self.last_words(node)
                ));
            }
        }
        Ok(())
    }

    /// The last lines of a node's log.
    pub fn last_words(&self, node: usize) -> String {
        let text = std::fs::read(self.log(node)).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
        let last = &lines[lines.len().saturating_sub(LAST_LINES)..];
        last.iter()
            .map(|line| format!("\n  node {node}: {}", line.chars().take(LINE_LEN_MAX).collect::<String>()))
            .collect()
    }

    /// The last words of all.
    pub fn all_last_words(&self) -> String {
        (1..=NODES).map(|node| self.last_words(node)).collect()
    }
}

impl Drop for Daemons {
    fn drop(&mut self) {
        for child in self.running.iter_mut().flatten().chain(&mut self.ending) {
            // Each is our own child and not yet waited for, so the id is its own still. It may have ended
            // before.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
