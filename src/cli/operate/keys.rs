//! `lockstep keys`: the keys of a cluster, made, given to processes, and changed while the stream runs.

mod import;

pub use import::generations;

use clap::{Args, Subcommand};
use lockstep_daemon::Failure;
use lockstep_daemon::args::ClusterArgs;
use lockstep_daemon::config::{Config, KeyUse, SecurityMode};
use lockstep_daemon::failure::USAGE;
use lockstep_daemon::secret::OPERATOR;
use lockstep_io::clock::Utc;
use lockstep_io::key_file::{KeyFile, REPLICA_FILE, class_name};
use lockstep_notary::NotaryKey;
use lockstep_operations::acting;
use lockstep_operations::{fingerprint, keys};
use lockstep_wire::{HOLDER_LEN_MAX, KeyClass, KeyRights, RecipientRule};
use serde_json::json;
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::PathBuf;

/// The version of what `--json` prints.
const SCHEMA: &str = "lockstep.keys/1";

/// What `keys` does.
#[derive(Args, Debug)]
pub struct KeysArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: KeysCommand,
}

/// The subcommands of `keys`.
#[derive(Subcommand, Debug)]
pub enum KeysCommand {
    /// Makes the keys of a new cluster: once, on one host; then the files are copied
    New(ClusterArgs),
    /// Adds a publisher's key, for a program that must not pass for another
    Add(AddKeyArgs),
    /// Changes what a publisher's key allows
    Allow(AddKeyArgs),
    /// Says whom the publishers of some names may be addressed by, whoever sends it
    Receive(RecipientArgs),
    /// Makes the secret with which an operator signs orders, on the operator's host: NAME.operator in
    /// security.keys, and its public key as a line of the file `operators` there
    Operator(OperatorKeyArgs),
    /// Writes the key file of a process that is no replica
    Export(ExportArgs),
    /// Takes a key file from stdin, for the processes of this host: the hosts' part of `rolling keys`
    Import(ClusterArgs),
    /// Adds a generation of keys: it opens datagrams, and seals none yet
    Rotate(ClusterArgs),
    /// Seals with a generation from now on: once every process has it
    Seal(GenerationArgs),
    /// Accepts a generation no more: once no process seals with it
    Retire(GenerationArgs),
    /// Sets the day on which another generation is to have taken a generation's place: `status` and the logs
    /// of replicas remind of it, and nothing ends
    Expire(ExpireArgs),
    /// Removes a retired generation: frames that it sealed are replayed no more
    Forget(GenerationArgs),
    /// Shows generations and publishers, and no key
    Show(ShowArgs),
}

/// Flags of `keys add` and `keys allow`.
#[derive(Args, Debug)]
pub struct AddKeyArgs {
    #[command(flatten)]
    pub cluster: ClusterArgs,
    /// The name of the key, for people: letters, digits, `-`, `_`, `.`
    #[arg(value_name = "NAME")]
    pub name: String,
    #[command(flatten)]
    pub rights: RightsArgs,
}

/// Flags of `keys receive`.
#[derive(Args, Debug)]
pub struct RecipientArgs {
    #[command(flatten)]
    pub cluster: ClusterArgs,
    /// The name, or the beginning of names with a `*` behind it: `client/*`. Of several that a name matches
    /// the longest decides
    #[arg(value_name = "PATTERN")]
    pub recipients: String,
    /// The names that may publish to them: `exchange/*,risk`
    #[arg(long, value_name = "PATTERNS", required_unless_present = "remove", conflicts_with = "remove")]
    pub from: Option<String>,
    /// Removes the rule of this pattern
    #[arg(long)]
    pub remove: bool,
}

/// Flags of `keys operator`.
#[derive(Args, Debug)]
pub struct OperatorKeyArgs {
    #[command(flatten)]
    pub cluster: ClusterArgs,
    /// The name that the operator's key has in replica.keys: letters, digits, `-`, `_`, `.`
    #[arg(value_name = "NAME", value_parser = operator_name)]
    pub name: String,
}

/// A name of a key, and of a file.
fn operator_name(text: &str) -> Result<String, String> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    let is_short = (1..=HOLDER_LEN_MAX).contains(&text.len());
    if !is_short || text.starts_with('.') || !text.bytes().all(is_plain) {
        return Err(format!(
            "an operator's name is at most {HOLDER_LEN_MAX} letters, digits, '-', '_' and '.'"
        ));
    }
    Ok(text.to_owned())
}

/// What a publisher's key allows: all but orders where a flag is not given.
#[derive(Args, Debug)]
pub struct RightsArgs {
    /// The names that it opens, and publishes under: `orders/*,risk`
    #[arg(long, value_name = "PATTERNS")]
    pub names: Option<String>,
    /// The destinations that it publishes to: `everybody,channel:0-7,client/*`
    #[arg(long, value_name = "DESTINATIONS")]
    pub to: Option<String>,
    /// The messages a second that it may have stamped
    #[arg(long, value_name = "MESSAGES")]
    pub rate: Option<u32>,
    /// The orders that it gives as an operator: `handover,declare-dead,membership,day,upgrade,time`
    #[arg(long, value_name = "ORDERS")]
    pub orders: Option<String>,
    /// The public key by which its orders' signatures are checked, as `keys operator` printed it on the
    /// operator's host; wanted with --orders
    #[arg(long, value_name = "HEX")]
    pub public: Option<NotaryKey>,
}

impl RightsArgs {
    fn rights(&self) -> Result<KeyRights, Failure> {
        let mut words = Vec::new();
        words.extend(self.names.as_ref().map(|names| format!("names={names}")));
        words.extend(self.to.as_ref().map(|to| format!("to={to}")));
        words.extend(self.rate.map(|rate| format!("rate={rate}")));
        words.extend(self.orders.as_ref().map(|orders| format!("orders={orders}")));
        words.extend(self.public.as_ref().map(|public| format!("public={public}")));
        if let Some(word) = words.iter().find(|word| word.contains(char::is_whitespace)) {
            return Err(refused(format!("'{word}': a list of rights has commas and no spaces")));
        }
        KeyRights::parse(words.iter().map(String::as_str)).map_err(refused)
    }
}

/// Flags of `keys export`.
#[derive(Args, Debug)]
pub struct ExportArgs {
    #[command(flatten)]
    pub cluster: ClusterArgs,
    /// The name of a publisher's key; without it the file is a reader's
    #[arg(long, value_name = "NAME")]
    pub publisher: Option<String>,
    /// The file to write
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
}

/// Flags of `keys seal`, `keys retire` and `keys forget`.
#[derive(Args, Debug)]
pub struct GenerationArgs {
    #[command(flatten)]
    pub cluster: ClusterArgs,
    /// The generation
    #[arg(value_name = "GENERATION")]
    pub generation: u8,
}

/// Flags of `keys expire`.
#[derive(Args, Debug)]
pub struct ExpireArgs {
    #[command(flatten)]
    pub generation: GenerationArgs,
    /// The day, like 2027-03-31, or never
    #[arg(value_name = "DAY", value_parser = day)]
    pub until: Until,
}

/// A day, or none.
#[derive(Clone, Copy, Debug)]
pub struct Until(Option<Utc>);

fn day(text: &str) -> Result<Until, String> {
    match text {
        "never" => Ok(Until(None)),
        day => Utc::day(day)
            .map(|day| Until(Some(day)))
            .ok_or_else(|| "write a day like 2027-03-31, or never".to_owned()),
    }
}

/// Flags of `keys show`.
#[derive(Args, Debug)]
pub struct ShowArgs {
    #[command(flatten)]
    pub cluster: ClusterArgs,
    /// The key file; without it that of this host's replicas
    #[arg(value_name = "FILE")]
    pub file: Option<PathBuf>,
    /// Prints JSON
    #[arg(long)]
    pub json: bool,
}

/// Does it, and says what comes next.
pub fn run(args: &KeysArgs) -> Result<u8, Failure> {
    match &args.command {
        KeysCommand::New(cluster) => new(&to_change(cluster)?),
        KeysCommand::Add(args) => add(args),
        KeysCommand::Allow(args) => allow(args),
        KeysCommand::Receive(args) => receive(args),
        KeysCommand::Operator(args) => operator(args),
        KeysCommand::Export(args) => export(args),
        KeysCommand::Import(cluster) => import::run(cluster),
        KeysCommand::Rotate(cluster) => rotate(&to_change(cluster)?),
        KeysCommand::Seal(args) => change(args, |file, generation| file.seal_with(generation), SEALED),
        KeysCommand::Retire(args) => change(args, |file, generation| file.retire(generation), RETIRED),
        KeysCommand::Forget(args) => change(args, |file, generation| file.forget(generation), FORGOTTEN),
        KeysCommand::Expire(args) => {
            let Until(until) = args.until;
            change(&args.generation, |file, generation| file.expire(generation, until), EXPIRES)
        }
        KeysCommand::Show(args) => show(args),
    }
}

const SEALED: &str = "copy the files to all hosts and send their processes SIGHUP; once no process seals with another \
                      generation, `lockstep keys retire` the old one";
const RETIRED: &str = "copy the files to all hosts and send their processes SIGHUP: from then on its \
                       holders are refused; frames that it sealed are still replayed";
const EXPIRES: &str = "copy the files to all hosts and send their processes SIGHUP";
const FORGOTTEN: &str = "copy the files to all hosts and send their processes SIGHUP: from then on no \
                         process has its keys in memory, and frames that it sealed are no longer replayed";

/// The configuration of a command that writes the folder of keys.
pub fn to_change(cluster: &ClusterArgs) -> Result<Config, Failure> {
    let config = cluster.load(&[])?;
    acting::not_as_root(&config)?;
    Ok(config)
}

fn new(config: &Config) -> Result<u8, Failure> {
    let folder = &config.security.keys;
    let path = folder.join(REPLICA_FILE);
    if path.symlink_metadata().is_ok() {
        let what = format!(
            "{} is there already: a cluster's keys are made once; `lockstep keys rotate` adds a generation",
            path.display()
        );
        return Err(Failure::new(USAGE, what));
    }
    keys::draw(config.cluster, config.set.as_ref())?.write_folder(folder)?;
    println!("{}", folder.display());
    eprintln!(
        "the keys of cluster {}: copy replica.keys to the hosts of replicas and archivers, gateway.keys to those of gateways, \
         publisher.keys to those of programs that publish, reader.keys to those of programs that read, each into {}, mode 600; an \
         application that answers clients of gateways needs a key of its own: `lockstep keys add exchange --names exchange`, and \
         `lockstep keys receive 'client/*' --from exchange`",
        config.cluster,
        folder.display()
    );
    if config.security.mode == SecurityMode::None {
        eprintln!("security.mode is \"none\": no process uses them yet");
    }
    Ok(0)
}

fn refused(why: String) -> Failure {
    Failure::new(USAGE, why)
}

fn add(args: &AddKeyArgs) -> Result<u8, Failure> {
    let config = to_change(&args.cluster)?;
    let (mut file, folder) = keys::of_replicas(&config)?;
    let number = file.add_publisher(&args.name)?.map_err(refused)?;
    keys::grant(&mut file, number, args.rights.rights()?, args.rights.names.as_deref())?;
    file.write_folder(folder)?;
    println!("{number}");
    eprintln!(
        "publisher {number} ({}) {}; copy replica.keys to the hosts of all replicas and send these SIGHUP, then `lockstep keys \
         export --publisher {} FILE` makes its file",
        args.name,
        allows(&file, number),
        args.name
    );
    Ok(0)
}

fn allow(args: &AddKeyArgs) -> Result<u8, Failure> {
    let config = to_change(&args.cluster)?;
    let (mut file, folder) = keys::of_replicas(&config)?;
    let number = keys::publisher(&file, &args.name)?;
    keys::grant(&mut file, number, args.rights.rights()?, args.rights.names.as_deref())?;
    file.write_folder(folder)?;
    println!("{number}");
    eprintln!(
        "publisher {number} ({}) {}; copy replica.keys to the hosts of all replicas and send these SIGHUP",
        args.name,
        allows(&file, number)
    );
    Ok(0)
}

fn receive(args: &RecipientArgs) -> Result<u8, Failure> {
    let config = to_change(&args.cluster)?;
    let (mut file, folder) = keys::of_replicas(&config)?;
    let recipients = &args.recipients;
    match &args.from {
        Some(from) => {
            if let Some(word) = [recipients, from].into_iter().find(|word| word.contains(char::is_whitespace))
            {
                return Err(refused(format!("'{word}': a list of names has commas and no spaces")));
            }
            let rule = RecipientRule::parse(&[recipients, &format!("from={from}")]).map_err(refused)?;
            file.recipients.set(rule).map_err(refused)?;
        }
        None if file.recipients.remove(recipients) => {}
        None => {
            let known: Vec<_> = file.recipients.iter().map(RecipientRule::recipients).collect();
            return Err(refused(format!("no rule has '{recipients}'; there are: {}", known.join(", "))));
        }
    }
    file.write_folder(folder)?;
    file.recipients.iter().for_each(|rule| println!("{rule}"));
    eprintln!("copy replica.keys to the hosts of all replicas and send these SIGHUP");
    Ok(0)
}

/// What a publisher's key allows, for people.
fn allows(file: &KeyFile, number: u16) -> String {
    match file.rights_of(number) {
        all if all == KeyRights::default() => "allows all but orders".to_owned(),
        rights => format!("allows{rights}"),
    }
}

fn operator(args: &OperatorKeyArgs) -> Result<u8, Failure> {
    let config = args.cluster.load(&[])?;
    let public = OPERATOR.make(&config, &args.name)?;
    println!("{public}");
    eprintln!(
        "{0} signs the orders of {1}: it stays on this host. On the host of replica.keys, `lockstep keys add {1} --names nobody \
         --orders … --public {public}`; {2} lists the public key: copy it to hosts that audit",
        OPERATOR.secret_path(&config, &args.name).display(),
        args.name,
        OPERATOR.list_path(&config).display(),
    );
    Ok(0)
}

fn export(args: &ExportArgs) -> Result<u8, Failure> {
    let config = args.cluster.load(&[])?;
    let (file, _) = keys::of_replicas(&config)?;
    let class = match &args.publisher {
        None => KeyClass::Reader,
        Some(name) => KeyClass::Publisher(keys::publisher(&file, name)?),
    };
    if args.file.parent() == Some(&config.security.keys) {
        acting::not_as_root(&config)?;
    }
    file.export(class).write(&args.file)?;
    println!("{}", args.file.display());
    Ok(0)
}

fn rotate(config: &Config) -> Result<u8, Failure> {
    let (mut file, folder) = keys::of_replicas(config)?;
    let generation = file.add_generation()?.map_err(refused)?;
    file.write_folder(folder)?;
    println!("{generation}");
    eprintln!(
        "generation {generation}: copy the files to all hosts and send their processes SIGHUP; once every process has it, \
         `lockstep keys seal {generation}`"
    );
    Ok(0)
}

fn change(
    args: &GenerationArgs,
    change: impl Fn(&mut KeyFile, u8) -> Result<(), String>,
    next: &str,
) -> Result<u8, Failure> {
    let config = to_change(&args.cluster)?;
    let (mut file, folder) = keys::of_replicas(&config)?;
    change(&mut file, args.generation).map_err(refused)?;
    file.write_folder(folder)?;
    print!("{}", text(&file));
    eprintln!("{next}");
    Ok(0)
}

fn show(args: &ShowArgs) -> Result<u8, Failure> {
    let path = match &args.file {
        Some(path) => path.clone(),
        None => {
            let config = args.cluster.load(&[])?;
            match config.key_file(KeyUse::Operator) {
                Some(path) => path,
                None => {
                    return Err(refused("security.mode is \"none\": this cluster has no keys".to_owned()));
                }
            }
        }
    };
    let file = KeyFile::read(&path)?;
    let shown = if args.json {
        let generations: Vec<_> = file
                .generations
                .iter()
                .map(|row| {
                    let until = row.until.map(Utc::date);
                    let print = fingerprint::of(file.cluster, row);
                    json!({ "generation": row.number, "use": row.usage.name(), "until": until, "fingerprint": print })
                })
                .collect();
        let publisher = |(number, name)| {
            let rights = file.rights_of(number).to_string();
            json!({ "number": number, "name": name, "rights": rights.trim_start() })
        };
        let publishers: Vec<_> = file.publishers().map(publisher).collect();
        let recipient = |rule: &RecipientRule| json!({ "names": rule.recipients(), "from": rule.from() });
        let recipients: Vec<_> = file.recipients.iter().map(recipient).collect();
        let json = json!({
            "schema": SCHEMA, "cluster": file.cluster, "class": class_name(file.class),
            "generations": generations, "publishers": publishers, "recipients": recipients,
        });
        format!("{json}\n")
    } else {
        text(&file)
    };
    std::io::stdout().write_all(shown.as_bytes())?;
    Ok(0)
}

fn text(file: &KeyFile) -> String {
    let mut text = format!("cluster {}, keys of a {}\n", file.cluster, class_name(file.class));
    for row in &file.generations {
        // Writing into a string cannot fail.
        let until = row.until.map_or_else(String::new, |until| format!(" until {}", until.date()));
        let print = fingerprint::of(file.cluster, row);
        let _ =
            writeln!(text, "generation {:>2}  {}{until}, fingerprint {print}", row.number, row.usage.name());
    }
    for (number, name) in file.publishers() {
        let _ = writeln!(text, "publisher {number:>4}  {name:<20} {}", allows(file, number));
    }
    for rule in file.recipients.iter() {
        let _ = writeln!(text, "recipients {:<25} from {}", rule.recipients(), rule.from());
    }
    text
}
