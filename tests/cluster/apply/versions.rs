//! A new version of a machine beside the one in force, and its takeover.

use lockstep_app::{
    App, AppError, AppSettings, EVERYBODY, Endpoint, Input, InputEvent, MachineFault, Output, StateMachine,
    TAKE_OVER_KEY, take_over,
};
use lockstep_testkit::processes::{Cluster, PATIENCE, free_address, payloads};
use std::io::{self, Read, Write};
use std::net::SocketAddrV4;
use std::path::Path;
use std::time::{Duration, Instant};

/// Greets everybody; from its second version on it welcomes guests.
#[derive(Default)]
struct Greeter<const V: u32>;

impl<const V: u32> StateMachine for Greeter<V> {
    const VERSION: u32 = V;

    fn apply(&mut self, input: &Input<'_>, output: &mut Output) {
        if let InputEvent::Message { payload, .. } = input.event {
            let is_welcome = V > 1 && payload.starts_with(b"guest");
            let word: &[u8] = if is_welcome { b"welcome " } else { b"hello " };
            output.publish_parts(EVERYBODY, &[word, payload]);
        }
    }

    fn snapshot(&self, _: &mut impl Write) -> io::Result<()> {
        Ok(())
    }

    fn restore(_: &mut impl Read) -> io::Result<Self> {
        Ok(Self)
    }
}

fn replica<const V: u32>(cluster: &Cluster, number: u8, is_shadow: bool) -> App<Greeter<V>> {
    let endpoint = Endpoint::from_file(cluster.config()).expect("the cluster's file");
    let folder = cluster.path(&format!("greeter-{number}"));
    let mut settings = AppSettings::new("greeter", number, Path::new(&folder));
    settings.is_shadow = is_shadow;
    App::connect(&endpoint, settings, Greeter::default).expect("a cluster")
}

/// Turns both until `done`. Returns why the old version has ended, if it has.
fn turned(
    old: &mut App<Greeter<1>>,
    new: &mut App<Greeter<2>>,
    done: impl Fn(&App<Greeter<2>>, &Option<AppError>) -> bool,
) -> Option<AppError> {
    let (began, mut ended) = (Instant::now(), None);
    while !done(new, &ended) {
        if ended.is_none() {
            ended = old.turn(|_, _| {}).err();
        }
        new.turn(|_, _| {}).expect("the new version goes on");
        let core = &new.replica().core;
        assert!(
            began.elapsed() < PATIENCE,
            "{ended:?}, in force {:?}, {} outputs",
            core.in_force(),
            core.outputs.count()
        );
        new.wait(Duration::from_millis(1)).expect("a descriptor");
    }
    ended
}

fn has_read(outputs: u64) -> impl Fn(&App<Greeter<2>>, &Option<AppError>) -> bool {
    move |new, _| new.replica().core.outputs.count() == outputs
}

fn greetings(cluster: &Cluster) -> Vec<String> {
    let text = cluster.read(&[]).out;
    let is_greeting = |text: &&str| text.starts_with("hello ") || text.starts_with("welcome ");
    payloads(&text).into_iter().filter(is_greeting).map(str::to_owned).collect()
}

#[test]
fn a_shadow_takes_over_by_an_entry_and_each_output_is_that_of_the_version_in_force() {
    let cluster = Cluster::new(3, "");
    let _replicas = cluster.found();
    let mut old = replica::<1>(&cluster, 1, false);
    let mut new = replica::<2>(&cluster, 2, true);
    cluster.publish("friend one\nfriend two\n");
    assert!(turned(&mut old, &mut new, has_read(2)).is_none());
    assert!(new.replica().is_shadow());
    assert_eq!(old.take_over(), "version 1 publishes already: no version has taken over so far\n");
    assert_eq!(new.take_over(), "version 2 takes over\n");
    assert!(turned(&mut old, &mut new, |new, _| !new.replica().is_shadow()).is_none());
    assert_eq!(new.take_over(), "version 2 is in force already\n");

    cluster.publish("friend three\nguest\nguest again\n");
    let is_over = |new: &App<_>, ended: &Option<_>| ended.is_some() && has_read(5)(new, ended);
    let ended = turned(&mut old, &mut new, is_over);
    // The old version reads another output than its own; had it published that, the new one would have ended.
    assert!(matches!(ended, Some(AppError::Fault(MachineFault::Output(_)))), "{ended:?}");
    assert!(old.replica().is_shadow());
    let all = [
        "hello friend one",
        "hello friend two",
        "hello friend three",
        "welcome guest",
        "welcome guest again",
    ];
    assert_eq!(greetings(&cluster), all);

    // Both begin again at the stream's beginning, each with its settings as before: the stream says which
    // version is in force.
    drop((old, new));
    let (mut old, mut new) = (replica::<1>(&cluster, 1, false), replica::<2>(&cluster, 2, true));
    assert!(turned(&mut old, &mut new, is_over).is_some());
    cluster.publish("guest\n");
    turned(&mut old, &mut new, has_read(6));
    assert_eq!(greetings(&cluster).len(), 6);
}

/// Turns a replica while `asks` runs on a thread of its own.
fn turned_while<T: Send>(app: &mut App<Greeter<2>>, asks: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| {
        let asking = scope.spawn(asks);
        while !asking.is_finished() {
            app.turn(|_, _| {}).expect("it goes on");
            app.wait(Duration::from_millis(1)).expect("a descriptor");
        }
        asking.join().expect("no panic")
    })
}

#[test]
fn the_page_puts_a_version_in_force_for_whoever_has_its_key_and_for_nobody_else() {
    let cluster = Cluster::new(1, "");
    let _replicas = cluster.found();
    let endpoint = Endpoint::from_file(cluster.config()).expect("the cluster's file");
    let address: SocketAddrV4 = free_address().to_string().parse().expect("an IPv4 address");
    let folder = cluster.path("greeter-2");
    let mut settings = AppSettings::new("greeter", 2, Path::new(&folder));
    (settings.is_shadow, settings.serve) = (true, Some(address));
    // The name of the machine is open, as a version is in force.
    let mut old = replica::<1>(&cluster, 1, false);
    let mut new = App::connect(&endpoint, settings, Greeter::<2>::default).expect("a cluster");
    cluster.publish("friend\n");
    assert!(turned(&mut old, &mut new, has_read(1)).is_none());
    let post = |more: &str, body: &[u8]| {
        let limits = (Duration::from_secs(20), 1 << 16);
        let page = lockstep_process::page::fetch((address.into(), "/take-over"), (more, Some(body)), limits);
        page.expect("a page").status
    };
    let foreign = "Origin: http://evil.example\r\n";
    let guessed = "0".repeat(64);
    for (more, body) in
        [("", &b""[..]), ("", guessed.as_bytes()), (foreign, b""), (foreign, guessed.as_bytes())]
    {
        assert_eq!(turned_while(&mut new, || post(more, body)), 403, "{more:?} {body:?}");
    }
    let other = folder.join("other.key");
    std::fs::write(&other, format!("{guessed}\n")).expect("a disk");
    std::fs::set_permissions(&other, std::os::unix::fs::PermissionsExt::from_mode(0o600))
        .expect("it is ours");
    assert!(turned_while(&mut new, || take_over(address, &other)).is_err(), "another key");
    assert!(new.replica().is_shadow());

    let key = folder.join(TAKE_OVER_KEY);
    let done = turned_while(&mut new, || take_over(address, &key));
    assert_eq!(done.expect("it has the key"), "version 2 takes over\n");
    assert!(turned(&mut old, &mut new, |new, _| !new.replica().is_shadow()).is_none());
}

#[test]
fn a_shadow_with_another_output_ends_and_the_version_in_force_goes_on() {
    let cluster = Cluster::new(3, "");
    let _replicas = cluster.found();
    let mut old = replica::<1>(&cluster, 1, false);
    let mut new = replica::<2>(&cluster, 2, true);
    cluster.publish("guest\nfriend\n");
    let began = Instant::now();
    let (mut parted, mut turns) = (None, 0);
    while parted.is_none() || old.replica().core.outputs.count() < 2 {
        old.turn(|_, _| {}).expect("it is in force");
        parted = parted.or_else(|| new.turn(|_, _| {}).err());
        turns += 1;
        assert!(began.elapsed() < PATIENCE, "nothing differs in {turns} turns");
    }
    assert!(matches!(parted, Some(AppError::Fault(MachineFault::Output(_)))), "{parted:?}");
    assert_eq!(greetings(&cluster), ["hello guest", "hello friend"]);
}
