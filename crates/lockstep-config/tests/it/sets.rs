//! Sets: one file, several streams, each as of one cluster.

use crate::*;

/// Two streams over what they have in common.
const SET: &str = r#"profile = "shared"
[[streams]]
name = "orders"
cluster = 7
[[streams]]
name = "quotes"
cluster = 8
leader = 2
[[lines]]
submit = "239.77.1.1:7700"
data = "239.77.1.2:7700"
control = "239.77.1.3:7700"
interface = "lo"
ttl = 0
[[replicas]]
id = 1
unicast = "127.0.0.1:7701"
journal = "/j/1"
[[replicas]]
id = 2
unicast = "127.0.0.1:7702"
journal = "/j/2"
[stream]
durability = "power"
"#;

fn chosen(name: &str) -> Override {
    ("stream".into(), name.into(), Origin::Flag("--stream".into()))
}

fn stream(text: &str, name: &str) -> Config {
    accepted(text, &[chosen(name)])
}

fn refused_as(text: &str, name: &str) -> Vec<String> {
    problems_with(text, &[chosen(name)])
}

#[test]
fn each_stream_of_a_set_is_a_cluster_with_groups_ports_and_folders_of_its_own() {
    let (orders, quotes) = (stream(SET, "orders"), stream(SET, "quotes"));
    for (config, cluster, group, port, name) in
        [(&orders, 7, "239.77.1.2:7700", 7701, "orders"), (&quotes, 8, "239.77.2.2:7720", 7721, "quotes")]
    {
        assert_eq!(config.cluster, cluster);
        assert_eq!(config.lines[0].data, group.parse().unwrap());
        let first = config.replica(1).unwrap();
        assert_eq!(first.unicast, format!("127.0.0.1:{port}").parse().unwrap());
        assert_eq!(first.journal, PathBuf::from(format!("/j/1-{name}")));
        assert_eq!(first.tail, PathBuf::from(format!("/dev/shm/lockstep-{cluster}-1.tail")));
        assert_eq!(config.security.keys, PathBuf::from(format!("/etc/lockstep/keys-{name}")));
        assert_eq!(config.stream.durability, Durability::Power, "what all have in common");
        let place = config.set.as_ref().expect("a stream of a set");
        assert_eq!((place.stream().name.as_str(), place.stream().cluster), (name, cluster));
        assert_eq!(place.home().name, "orders");
        let names: Vec<_> = place.streams.iter().map(|stream| stream.name.as_str()).collect();
        assert_eq!(names, ["orders", "quotes"]);
    }
    assert_eq!(accepted(SHARED, &[]).set, None, "one cluster");
}

#[test]
fn a_stream_outweighs_what_all_have_in_common_item_by_item_and_key_by_key() {
    let text = changed(
        SET,
        &[(
            "leader = 2\n",
            "leader = 2\n[streams.stream]\ndurability = \"process\"\n[[streams.lines]]\nsubmit = \"239.1.1.1:9000\"\n\
             data = \"239.1.1.2:9000\"\ncontrol = \"239.1.1.3:9000\"\n[[streams.replicas]]\nid = 2\njournal = \"/fast/2\"\n\
             [[streams.replicas]]\nid = 3\nunicast = \"127.0.0.1:9003\"\njournal = \"/j/3\"\n",
        )],
    );
    let (orders, quotes) = (stream(&text, "orders"), stream(&text, "quotes"));
    assert_eq!((orders.replicas.len(), orders.stream.durability), (2, Durability::Power));
    assert_eq!((quotes.replicas.len(), quotes.stream.durability), (3, Durability::Process));
    assert_eq!(quotes.lines[0].submit, "239.1.1.1:9000".parse().unwrap(), "as it is written");
    assert_eq!(quotes.lines[0].ttl, 0, "of the common part");
    assert_eq!(quotes.replica(2).unwrap().journal, PathBuf::from("/fast/2"), "as it is written");
    assert_eq!(quotes.replica(1).unwrap().journal, PathBuf::from("/j/1-quotes"));
    assert_eq!(quotes.replica(3).unwrap().unicast, "127.0.0.1:9003".parse().unwrap());
}

#[test]
fn the_replica_that_leads_first_comes_first_in_the_list_of_its_stream() {
    let ids = |name| stream(SET, name).replicas.iter().map(|replica| replica.id).collect::<Vec<_>>();
    assert_eq!((ids("orders"), ids("quotes")), (vec![1, 2], vec![2, 1]));
    assert_eq!(
        refused_as(&changed(SET, &[("leader = 2", "leader = 3")]), "quotes"),
        ["LS0112: streams.leader: stream quotes has no replica 3; its replicas are 1, 2 (c.toml:1:1)"]
    );
}

#[test]
fn a_stream_is_chosen_by_flag_or_variable_and_a_flag_outweighs_the_variable() {
    let variable = env("LOCKSTEP_STREAM", "quotes");
    assert_eq!(accepted(SET, &variable).cluster, 8);
    let both = [vec![chosen("orders")], variable.clone()].concat();
    assert_eq!(accepted(SET, &both).cluster, 7);
    // Other variables are laid over the stream that was chosen.
    let more = [variable, env("LOCKSTEP_REPLICAS_1_CORE", "3")].concat();
    assert_eq!(accepted(SET, &more).replica(1).unwrap().core, Some(3));
}

#[test]
fn a_set_of_which_no_stream_was_chosen_names_those_there_are() {
    assert_eq!(
        problems(SET),
        [
            "LS0125: streams: the file describes the streams orders, quotes, and none was chosen; choose one by --stream \
          NAME or LOCKSTEP_STREAM=NAME (c.toml:1:1)"
        ]
    );
    assert_eq!(
        refused_as(SET, "quote"),
        [
            "LS0125: stream: there is no stream \"quote\": the file describes the streams orders, quotes; did you mean \
          quotes? (flag --stream)"
        ]
    );
    assert_eq!(
        refused_as(SHARED, "orders"),
        [
            "LS0125: stream: the file describes one stream, without a name, and \"orders\" was chosen; leave --stream and \
          LOCKSTEP_STREAM out, or add [[streams]] to the file (flag --stream)"
        ]
    );
}

/// Each row: what a stream gets that another one has, and the word for it.
#[test]
fn streams_of_a_set_share_no_number_group_port_file_or_core() {
    let own = |more: &str| changed(SET, &[("leader = 2\n", &format!("leader = 2\n{more}"))]);
    let replica = |more: &str| own(&format!("[[streams.replicas]]\nid = 1\n{more}\n"));
    let rows = [
        (
            changed(SET, &[("cluster = 8", "cluster = 7")]),
            "has the cluster number 7, which stream orders has by cluster",
        ),
        (
            own("[[streams.lines]]\nsubmit = \"239.77.1.1:7720\"\n"),
            "has the group 239.77.1.1, which stream orders has by lines.1.submit",
        ),
        (
            replica("unicast = \"127.0.0.1:7702\""),
            "has the port 7702, which stream orders has by replicas.2.unicast",
        ),
        (
            replica("unicast = \"127.0.0.1:7700\""),
            "has the port 7700, which stream orders has by lines.1.submit",
        ),
        (
            replica("journal = \"/j/2-orders\""),
            "has /j/2-orders, which stream orders has by replicas.2.journal",
        ),
        (
            changed(SET, &[("journal = \"/j/1\"", "journal = \"/j/1\"\ncore = 2")]),
            "has core 2, which stream orders has by replicas.1.core",
        ),
    ];
    for (text, expected) in rows {
        let found = refused_as(&text, "quotes");
        assert!(
            found.iter().any(|one| one.contains("LS0125") && one.contains(expected)),
            "{expected}: {found:?}"
        );
        stream(&text, "orders");
    }
    // On another host a port and a core are another one.
    let apart = changed(
        &replica("unicast = \"10.0.0.2:7702\""),
        &[("interface = \"lo\"\nttl = 0", "interface = \"e0\"")],
    );
    let apart = apart.replace("127.0.0.1", "10.0.0.1");
    assert_eq!(stream(&apart, "quotes").replica(1).unwrap().unicast, "10.0.0.2:7702".parse().unwrap());
}

#[test]
fn a_stream_without_a_name_a_number_or_room_is_refused_at_its_place() {
    let rows = [
        (
            "name = \"quotes\"\n",
            "",
            "LS0103: streams.name: is required and missing; add name = \"orders\", or another",
        ),
        (
            "\"quotes\"",
            "\"Quotes\"",
            "LS0125: streams.name: \"Quotes\" is no name of a stream; write 1 to 32 small letters",
        ),
        (
            "\"quotes\"",
            "\"orders\"",
            "LS0113: streams.name: \"orders\" is the name of an earlier stream already",
        ),
        ("cluster = 8\n", "", "LS0103: stream quotes: cluster: is required and missing; add cluster = 2"),
        ("cluster = 8", "cluster = 8\nclutser = 1", "LS0102: clutser: is not a key; did you mean cluster?"),
    ];
    for (from, to, expected) in rows {
        let name = if expected.contains("clutser") { "quotes" } else { "orders" };
        let found = refused_as(&changed(SET, &[(from, to)]), name);
        assert!(found.iter().any(|one| one.starts_with(expected)), "{expected}: {found:?}");
    }
    let many: String =
        (0..33).map(|n| format!("[[streams]]\nname = \"s{n}\"\ncluster = {}\n", n + 10)).collect();
    let found = refused_as(&changed(SET, &[("[[lines]]", &format!("{many}[[lines]]"))]), "orders");
    assert!(
        found[0].starts_with("LS0125: streams: there are 35 streams, and a set has at most 32"),
        "{found:?}"
    );
    let found = refused_as(&changed(SET, &[("239.77.1.3:7700", "239.77.255.3:7700")]), "quotes");
    assert!(
        found[0].starts_with("LS0107: lines.1.control: 239.77.255.3 has no group 1 above it"),
        "{found:?}"
    );
    let found = refused_as(&changed(SET, &[(":7701", ":65530")]), "quotes");
    assert!(
        found[0].starts_with("LS0107: replicas.1.unicast: 127.0.0.1:65530 has no port 20 above it"),
        "{found:?}"
    );
}

#[test]
fn the_names_of_a_sets_streams_are_known_without_choosing_one() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("c.toml");
    fs::write(&file, SET).unwrap();
    assert_eq!(Config::streams_in(&file), ["orders", "quotes"]);
    fs::write(&file, SHARED).unwrap();
    assert!(
        Config::streams_in(&file).is_empty() && Config::streams_in(&folder.path().join("none")).is_empty()
    );
}

proptest! {
    #[test]
    fn a_damaged_set_is_accepted_or_refused_and_never_panics(
        from in 0usize..700, len in 0usize..40, with in "[a-z0-9\"=\\[\\].#{} \nä-]{0,12}",
        name in "orders|quotes|x|",
    ) {
        let mut text = SET.to_string();
        let from = from.min(text.len());
        text.replace_range(from..(from + len).min(text.len()), &with);
        match parse(&text, &[chosen(&name)]) {
            Ok(config) => prop_assert!(!config.replicas.is_empty()),
            Err(errors) => prop_assert!(!errors.problems().is_empty() && !errors.render(true).is_empty()),
        }
    }
}

#[test]
fn the_example_of_the_documentation_is_a_set_of_two_streams() {
    let page = fs::read_to_string(repository().join("docs/STREAMS.md")).expect("the page");
    let file = page.split("```toml\n").nth(1).and_then(|rest| rest.split("```").next()).expect("an example");
    let (orders, quotes) = (stream(file, "orders"), stream(file, "quotes"));
    assert_eq!((orders.cluster, orders.replicas[0].id, orders.replicas[0].core), (7, 1, None));
    assert_eq!((quotes.cluster, quotes.replicas[0].id, quotes.replicas[0].core), (8, 2, Some(5)));
    assert_eq!(quotes.journal.retention_age_ns, Some(7 * 86_400_000_000_000));
    assert_eq!(quotes.replica(3).unwrap().journal, PathBuf::from("/var/lib/lockstep/3-quotes"));
}

/// A set with two coordinators.
fn coordinated(more: &str) -> String {
    let common = format!(
        "profile = \"shared\"\n[[coordinators]]\nid = 1\nhost = \"127.0.0.1\"\n[[coordinators]]\nid = 2\n\
         host = \"127.0.0.1\"\n{more}"
    );
    changed(SET, &[("profile = \"shared\"\n", &common)])
}

#[test]
fn a_sets_coordinators_are_those_of_all_its_streams() {
    let text = coordinated("core = 5\n[set]\ncut_interval = \"1ms\"\n");
    for name in ["orders", "quotes"] {
        let place = stream(&text, name).set.expect("a stream of a set");
        let all: Vec<_> =
            place.coordinators.iter().map(|one| (one.id, one.host.to_string(), one.core)).collect();
        assert_eq!(all, [(1, "127.0.0.1".to_owned(), None), (2, "127.0.0.1".to_owned(), Some(5))]);
        assert_eq!(place.cut_interval_ns, 1_000_000);
        assert_eq!(
            (place.cut_name(2), place.list_name()),
            ("lockstep/set/7/cut-2".into(), "lockstep/set/7/list".into())
        );
    }
    let place = stream(SET, "quotes").set.expect("a stream of a set");
    assert_eq!((place.coordinators.len(), place.cut_interval_ns), (0, 50_000));
    let keys = |text: &str, name| {
        let found = stream(text, name).effective().to_vec();
        let is_own = |(key, ..): &&(String, String, Origin)| {
            key.starts_with("set.") || key.starts_with("coordinators.")
        };
        found.iter().filter(is_own).map(|(key, value, _)| format!("{key}={value}")).collect::<Vec<_>>()
    };
    let expected = [
        "set.cut_interval=1ms",
        "coordinators.1.id=1",
        "coordinators.1.host=127.0.0.1",
        "coordinators.2.id=2",
        "coordinators.2.host=127.0.0.1",
        "coordinators.2.core=5",
    ];
    assert_eq!(keys(&text, "quotes"), expected);
    assert_eq!(
        accepted(SHARED, &[]).effective().iter().filter(|(key, ..)| key.starts_with("set.")).count(),
        0
    );
}

#[test]
fn coordinators_are_refused_in_one_stream_without_a_set_elsewhere_and_on_a_core_that_is_taken() {
    let spins = "idle = \"spin\"\n[stream]";
    let apart = |text: &str| {
        let text = changed(text, &[("interface = \"lo\"\nttl = 0", "interface = \"e0\"")]);
        text.replace("unicast = \"127.0.0.1", "unicast = \"10.0.0.1")
    };
    let rows = [
        (
            changed(SET, &[("leader = 2\n", "leader = 2\n[streams.set]\ncut_interval = \"1ms\"\n")]),
            "LS0126: set: concerns all streams of the set, and stands in one of them; write it above the first [[streams]]",
        ),
        (
            changed(
                SET,
                &[("leader = 2\n", "leader = 2\n[[streams.coordinators]]\nid = 1\nhost = \"127.0.0.1\"\n")],
            ),
            "LS0126: coordinators: concerns all streams of the set, and stands in one of them",
        ),
        (
            coordinated("").replace("host = \"127.0.0.1\"", "host = \"10.0.0.1\""),
            "LS0126: coordinators.1.host: is another host than that of all replicas, which loopback does not leave; write",
        ),
        (
            apart(&coordinated("")),
            "LS0126: coordinators.1.host: is a loopback address, and the replicas are on other hosts; write an address",
        ),
        (
            changed(
                &coordinated("core = 3\n"),
                &[("/j/1\"", "/j/1\"\ncore = 3"), ("[stream]", &format!("[runtime]\n{spins}"))],
            ),
            "LS0121: coordinators.2.core: core 3 spins for replicas.1.core already",
        ),
        (
            coordinated("").replace("id = 2\nhost", "id = 1\nhost"),
            "LS0113: coordinators.#2.id: 1 is used by coordinators.1.id already; give each coordinator its own id",
        ),
        (
            coordinated("").replacen("host = \"127.0.0.1\"\n", "host = \"e0\"\n", 1),
            "LS0108: coordinators.1.host: \"e0\" is not the IPv4 address of a host; write the address that its host has",
        ),
        (
            (0..15).fold(coordinated(""), |text, id| {
                let one = format!(
                    "profile = \"shared\"\n[[coordinators]]\nid = {}\nhost = \"127.0.0.1\"\n",
                    9 + id
                );
                changed(&text, &[("profile = \"shared\"\n", &one)])
            }),
            "LS0126: coordinators: there are 17 coordinators, and a set has at most 16; keep two or three",
        ),
    ];
    for (text, expected) in rows {
        let found = refused_as(&text, "quotes");
        assert!(found.iter().any(|one| one.starts_with(expected)), "{expected}: {found:?}");
    }
    let alone = changed(SHARED, &[("[stream]", "[set]\ncut_interval = \"1ms\"\n[stream]")]);
    let rule = "is for a set of streams, and the file describes one stream; leave it out, or describe the streams in";
    assert!(
        problems(&alone)[0].starts_with(&format!("LS0126: set.cut_interval: {rule}")),
        "{:?}",
        problems(&alone)
    );
    let alone = changed(SHARED, &[("[stream]", "[[coordinators]]\nid = 1\nhost = \"127.0.0.1\"\n[stream]")]);
    assert!(
        problems(&alone)[0].starts_with(&format!("LS0126: coordinators: {rule}")),
        "{:?}",
        problems(&alone)
    );
}
