//! `lockstep rolling keys`: a generation of keys on all hosts, step by step.
//!
//! ```text
//!  settled ─ add ─▶ added: opens, seals nothing ─ seal ─▶ sealed: both open ─ retire ─▶ settled
//!             └ to all hosts ┘                    └ to all hosts ┘           └ to all hosts ┘
//! ```
//!
//! The key file of this host says which step was done last, so that the same command goes on where another
//! one stopped. A step begins when every host has proven by fingerprints that it has the step before.

use super::plan::{RollingKind, RollingPlan, RollingWork};
use crate::cli::operate::keys::{generations, to_change};
use crate::cli::shared::operator::CommandClient;
use crate::cli::shared::remote::{RemoteArgs, RemoteHosts, filled, host_name};
use clap::{Args, ValueEnum};
use lockstep_daemon::Failure;
use lockstep_daemon::args::ClusterArgs;
use lockstep_daemon::config::{self, Config, SecurityMode};
use lockstep_daemon::failure::{FAILED, NOT_READY, USAGE};
use lockstep_io::key_file::{GenerationUse, KeyFile};
use lockstep_operations::awaited::AwaitedCluster;
use lockstep_operations::goals::of_members;
use lockstep_operations::keys::{of_replicas, publisher};
use lockstep_process::stop::Stop;
use lockstep_wire::{Condition, GENERATIONS, KeyClass};
use serde_json::Value;
use std::io::Write;
use std::str::FromStr;
use std::time::Duration;

/// The name of the readers' key among those of programs.
const READER: &str = "reader";
/// Between two looks at who seals with what.
const LOOK: Duration = Duration::from_millis(50);

/// Flags of `rolling keys`.
#[derive(Args, Debug)]
pub struct RollingKeysArgs {
    #[command(flatten)]
    pub cluster: ClusterArgs,
    #[command(flatten)]
    pub remote: RemoteArgs,
    /// Hosts of programs beside replicas and archivers, each with the publisher's key that it has, or
    /// `reader`: gateway=gw-a,default=app-a,reader=risk-a
    #[arg(long, value_name = "KEY=HOST", value_delimiter = ',')]
    pub programs: Vec<ProgramHost>,
    /// The step that is the last one. A program that is not named here and has not read its new file before
    /// `sealed` is a stranger from then on
    #[arg(long, value_name = "STEP", value_enum, default_value = "added")]
    pub until: KeyStep,
    /// Takes a key file from stdin on a host
    #[arg(long, value_name = "CMD", default_value = "runuser -u lockstep -- lockstep keys import")]
    pub import: String,
    /// Lets the daemons of a host read it
    #[arg(long, value_name = "CMD", default_value = "lockstep reload")]
    pub reload: String,
    /// Prints which step comes next and the commands on each host, and does none
    #[arg(long)]
    pub dry_run: bool,
    /// How long a command may take, and then the cluster until all is well
    #[arg(long, value_name = "TIME", default_value = "1min", value_parser = config::duration)]
    pub timeout: Duration,
}

/// A step of a rotation.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, ValueEnum)]
pub enum KeyStep {
    /// All accept the new generation, and nothing seals with it
    Added,
    /// All seal with it, and accept the former one
    Sealed,
    /// The former one is accepted no more
    Retired,
}

/// A program's host, and the key that it has.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ProgramHost {
    key: String,
    host: String,
}

impl FromStr for ProgramHost {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let how = "write the name of a publisher's key or reader, and a host, like gateway=gw-a";
        let (key, host) = text.split_once('=').ok_or(how)?;
        Ok(Self { key: key.to_owned(), host: host_name(host)?.to_owned() })
    }
}

/// The last step of a rotation, as a key file has it.
#[derive(Clone, PartialEq, Eq, Debug)]
enum KeyStage {
    /// One generation seals, and no other is accepted.
    Settled,
    /// This one is accepted, and is to seal next.
    Added(u8),
    /// These ones are accepted still.
    Sealed(Vec<u8>),
}

impl KeyStage {
    fn of(file: &KeyFile) -> Self {
        let next = (file.sealing() + 1) % GENERATIONS as u8;
        let accepted = file.generations.iter().filter(|row| row.usage == GenerationUse::Accepted);
        let accepted: Vec<_> = accepted.map(|row| row.number).collect();
        match () {
            () if accepted.contains(&next) => Self::Added(next),
            () if accepted.is_empty() => Self::Settled,
            () => Self::Sealed(accepted),
        }
    }
}

/// A host, and the file that it is to have.
struct KeyTarget {
    name: String,
    host: String,
    values: Vec<(&'static str, String)>,
    class: KeyClass,
}

/// Takes a generation of keys to all hosts.
struct KeyRollout<'a> {
    args: &'a RollingKeysArgs,
    hosts: RemoteHosts,
    stop: Stop,
    cluster: AwaitedCluster,
    targets: Vec<KeyTarget>,
    /// The step that is done, for a report of a stop.
    step: String,
}

/// Does the steps that are left.
pub fn run(args: &RollingKeysArgs) -> Result<u8, Failure> {
    let config = to_change(&args.cluster)?;
    if config.security.mode == SecurityMode::None {
        return Err(Failure::new(USAGE, "security.mode is \"none\": this cluster has no keys"));
    }
    let (mut file, folder) = of_replicas(&config)?;
    let (hosts, stop) = (RemoteHosts::new(&args.remote)?, Stop::by_signals()?);
    let cluster = AwaitedCluster::new(CommandClient::open(&args.cluster, args.timeout)?, stop.clone());
    let step = "what is on this host".to_owned();
    let mut rollout = KeyRollout { args, hosts, stop, cluster, targets: Vec::new(), step };
    let begins = rollout.cluster.well().map_err(Failure::from);
    rollout.targets = rollout.find_targets(&file)?;
    if args.dry_run {
        rollout.plan(&file)?;
    }
    if let Err(why) = begins {
        let what = format!("no key was touched: {why}; `lockstep why` shows what mends that");
        return Err(Failure::new(why.code(), what));
    }
    if args.dry_run {
        return Ok(0);
    }
    let changed = rollout.distribute(&file)?;
    if KeyStage::of(&file) == KeyStage::Settled {
        if changed {
            say(
                "done: all hosts have the keys of this host now; the same command begins the next rotation\n",
            )?;
            return Ok(0);
        }
        let added = file.add_generation()?.map_err(|why| Failure::new(USAGE, why))?;
        file.write_folder(folder)?;
        rollout.next(&file, format!("generation {added} is accepted"))?;
    }
    if let KeyStage::Added(next) = KeyStage::of(&file)
        && args.until >= KeyStep::Sealed
    {
        file.seal_with(next).map_err(|why| Failure::new(FAILED, why))?;
        file.write_folder(folder)?;
        rollout.next(&file, format!("generation {next} seals"))?;
    }
    rollout.end(&mut file, &config)
}

fn say(text: &str) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes())?;
    Ok(out.flush()?)
}

impl KeyRollout<'_> {
    fn find_targets(&self, file: &KeyFile) -> Result<Vec<KeyTarget>, Failure> {
        let (leader, asked) = self.cluster.seen()?;
        let work = RollingWork { kind: RollingKind::Reload, commands: Vec::new(), release: None };
        let plan = RollingPlan::new(&work, of_members(asked, Some(&leader)), &leader, &self.hosts, &[]);
        let steps = plan.map_err(|why| Failure::new(USAGE, why))?.steps;
        let node = |step: &super::plan::RollingStep| KeyTarget {
            name: step.name(),
            host: step.host.clone(),
            values: step.values().into(),
            class: KeyClass::Replica,
        };
        let mut targets: Vec<_> = steps.iter().map(node).collect();
        for ProgramHost { key, host } in &self.args.programs {
            let class = match &**key {
                READER => KeyClass::Reader,
                name => KeyClass::Publisher(publisher(file, name)?),
            };
            let (name, host, values) = (format!("the program with the key {key}"), host.clone(), Vec::new());
            targets.push(KeyTarget { name, host, values, class });
        }
        Ok(targets)
    }

    /// The commands on a host: it takes its file, and its daemons read it.
    fn commands(&self, target: &KeyTarget) -> [String; 2] {
        let mut values = vec![("host", &*target.host)];
        values.extend(target.values.iter().map(|(name, value)| (*name, &**value)));
        [&self.args.import, &self.args.reload].map(|command| filled(command, &values))
    }

    fn plan(&self, file: &KeyFile) -> Result<(), Failure> {
        let (until, sealing) = (self.args.until, file.sealing());
        let (next, old) = match KeyStage::of(file) {
            KeyStage::Settled => ("the next generation is added".to_owned(), sealing.to_string()),
            KeyStage::Added(next) => (format!("generation {next} is added"), sealing.to_string()),
            KeyStage::Sealed(old) => (format!("generation {sealing} seals"), list(&old)),
        };
        let seals = if until >= KeyStep::Sealed { ", all seal with the newest one" } else { "" };
        let retires = if until == KeyStep::Retired { format!(", {old} is retired") } else { String::new() };
        say(&format!("{next}{seals}{retires}\nbehind each step, on each host:\n"))?;
        for target in &self.targets {
            let [import, reload] = self.commands(target);
            say(&format!(
                "{}\n  on {}: {import}\n  on {}: {reload}\n",
                target.name, target.host, target.host
            ))?;
        }
        Ok(())
    }

    /// Takes a step to all hosts.
    fn next(&mut self, file: &KeyFile, step: String) -> Result<(), Failure> {
        say(&format!("{step}\n"))?;
        self.step = step;
        self.distribute(file).map(drop)
    }

    /// Every host gets the file, proves that it has it, and reads it. Returns whether one had another.
    fn distribute(&mut self, file: &KeyFile) -> Result<bool, Failure> {
        // A command reads its keys when it begins.
        let operator = CommandClient::open(&self.args.cluster, self.args.timeout)?;
        self.cluster = AwaitedCluster::new(operator, self.stop.clone());
        let mut changed = false;
        for place in 0..self.targets.len() {
            changed |= self.give(file, place).map_err(|why| self.stopped(place, &why))?;
        }
        self.await_sealing(file).map_err(|why| self.stopped(self.targets.len(), &why))?;
        Ok(changed)
    }

    fn give(&mut self, file: &KeyFile, place: usize) -> Result<bool, Failure> {
        self.cluster.check()?;
        let target = &self.targets[place];
        let file = file.export(target.class);
        let values: Vec<_> = target.values.iter().map(|(name, value)| (*name, &**value)).collect();
        let [import, reload] = self.commands(target);
        let timeout = self.args.timeout;
        let answer = self.hosts.ask(&target.host, &import, &values, (file.text().as_bytes(), timeout))?;
        let answer: Value = serde_json::from_str(answer.trim()).unwrap_or_default();
        let wanted = Value::from(generations(&file));
        if answer["generations"] != wanted {
            let has = &answer["generations"];
            let what = format!(
                "`{import}` on {} has not the keys of this host: {has}, and here {wanted}",
                target.host
            );
            return Err(Failure::new(FAILED, what));
        }
        let changed = answer["changed"] == true;
        self.hosts.run(&target.host, &reload, &values, timeout)?;
        self.cluster.well()?;
        let word = if changed { "has them now" } else { "had them" };
        say(&format!("  {} on {}: {word}\n", target.name, target.host))?;
        Ok(changed)
    }

    /// Waits until every node seals with the generation of the file.
    fn await_sealing(&mut self, file: &KeyFile) -> Result<(), Failure> {
        let (begun, sealing) = (crate::cli::shared::operator::now(), file.sealing());
        loop {
            self.cluster.well()?;
            let (_, asked) = self.cluster.seen()?;
            let others: Vec<_> = asked
                .iter()
                .filter_map(|node| node.status.as_ref())
                .filter(|status| status.generation != Some(sealing))
                .map(|status| {
                    let with =
                        status.generation.map_or_else(|| "none".to_owned(), |number| number.to_string());
                    format!("{} seals with generation {with}", status.identity)
                })
                .collect();
            if others.is_empty() {
                return say(&format!("  every node seals with generation {sealing}\n"));
            }
            if begun.elapsed() > self.args.timeout {
                let what = format!("{}, and not with {sealing}", others.join(", "));
                return Err(Failure::new(NOT_READY, what));
            }
            self.cluster.rest(LOOK)?;
        }
    }

    /// Retires what is accepted still if that is the last step, or says which step is next.
    fn end(&mut self, file: &mut KeyFile, config: &Config) -> Result<u8, Failure> {
        let sealing = file.sealing();
        let (has, next) = match KeyStage::of(file) {
            KeyStage::Sealed(old) if self.args.until == KeyStep::Retired => {
                self.check_programs()?;
                for generation in &old {
                    file.retire(*generation).map_err(|why| Failure::new(FAILED, why))?;
                }
                file.write_folder(&config.security.keys)?;
                self.next(file, format!("generation {} is retired", list(&old)))?;
                return say(&format!("done: generation {sealing} seals, and no other is accepted\n"))
                    .map(|()| 0);
            }
            KeyStage::Sealed(old) => {
                (format!("generation {sealing} seals, and {} is accepted still", list(&old)), "retired")
            }
            KeyStage::Added(next) => {
                (format!("generation {next} is accepted, and {sealing} seals"), "sealed")
            }
            KeyStage::Settled => (format!("generation {sealing} seals, and no other is accepted"), "added"),
        };
        say(&format!(
            "done: {has}. Once each program that is not named here has read its new file, the same command with --until \
             {next}; `lockstep status` names those that seal with an older generation ten seconds behind the nodes\n"
        ))?;
        Ok(0)
    }

    /// A program that still seals with a generation would be a stranger without it.
    ///
    /// # Errors
    /// A node has seen one that does.
    fn check_programs(&mut self) -> Result<(), Failure> {
        self.cluster.well()?;
        let (_, asked) = self.cluster.seen()?;
        let statuses = asked.iter().filter_map(|node| node.status.as_ref());
        let named = statuses
            .flat_map(|status| &status.conditions)
            .filter(|active| active.condition == Condition::OlderKeys);
        named.max_by_key(|active| active.a).map_or(Ok(()), |active| {
            let what = format!("nothing is retired: {}; {}", active.brief(), active.advice());
            Err(Failure::new(NOT_READY, what))
        })
    }

    /// Which hosts have the step, which one is in doubt, and how to go on.
    fn stopped(&self, place: usize, why: &Failure) -> Failure {
        let name = |target: &KeyTarget| format!("{} on {}", target.name, target.host);
        let names: Vec<_> = self.targets.iter().map(name).collect();
        let part = |from: usize, to: usize| match names.get(from..to).unwrap_or_default() {
            [] => "none".to_owned(),
            names => names.join("; "),
        };
        let what = format!(
            "the rotation stopped behind the step '{}': {why}\n  have it: {}\n  in doubt: {}\n  not touched: {}\n  to go on: mend \
             that, then the same command: it does what is left, and no generation is retired before",
            self.step,
            part(0, place),
            part(place, place + 1),
            part(place + 1, names.len()),
        );
        Failure::new(why.code(), what)
    }
}

fn list(generations: &[u8]) -> String {
    generations.iter().map(u8::to_string).collect::<Vec<_>>().join(" and ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_file_says_which_step_was_done_last() {
        let mut file = KeyFile::draw(7).expect("random numbers");
        assert_eq!(KeyStage::of(&file), KeyStage::Settled);
        let next = file.add_generation().expect("random numbers").expect("there is room");
        assert_eq!(KeyStage::of(&file), KeyStage::Added(1));
        file.seal_with(next).expect("it is there");
        assert_eq!(KeyStage::of(&file), KeyStage::Sealed(vec![0]));
        // A new one before the old one is retired seals first.
        file.add_generation().expect("random numbers").expect("there is room");
        assert_eq!(KeyStage::of(&file), KeyStage::Added(2));
        file.seal_with(2).expect("it is there");
        assert_eq!(KeyStage::of(&file), KeyStage::Sealed(vec![0, 1]));
        file.retire(0).and_then(|()| file.retire(1)).expect("neither seals");
        assert_eq!(KeyStage::of(&file), KeyStage::Settled);
        assert!("gateway=-x".parse::<ProgramHost>().is_err() && "gateway".parse::<ProgramHost>().is_err());
    }
}
