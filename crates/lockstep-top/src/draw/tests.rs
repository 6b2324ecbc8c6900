//! Screens of a snapshot whose figures all differ, in terminals of several sizes.

use super::{SIZE_MIN, draw, text_of};
use crate::figures::{UNKNOWN, brief, bytes, compact, rate, share};
use crate::view::{Key, SortColumn, ViewPage, ViewState};
use lockstep_operations::top::{
    ClusterLine, ConditionLine, CounterLine, DropCount, EventLine, GatewayLine, HandleLine, NodeLine,
    NodePresence, ProcessLine, Quantiles, SCHEMA, Snapshot, SnapshotSource,
};
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::style::{Color, Modifier};

const SECOND: u64 = 1_000_000_000;

/// A node whose figures all differ, and differ from those of another number.
fn node(number: u64) -> NodeLine {
    let of = |figure: u64| figure * 10 + number;
    NodeLine {
        name: format!("replica-{number}"),
        identity: Some(format!("{number}:0a3f9c{number}")),
        address: Some(format!("10.1.0.{number}:4400")),
        presence: NodePresence::Runs,
        absent_ns: None,
        pid: Some(of(4_000) as u32),
        role: Some(if number == 1 { "leader" } else { "standby" }.to_owned()),
        epoch: Some("7@1:0a3f9c1".to_owned()),
        round: Some(7),
        accept_next: Some(of(123_456)),
        commit_next: Some(of(123_444)),
        lag: Some(of(1)),
        acked_ago_ns: Some(of(200_000)),
        entries_per_second: Some(of(199) as f64),
        in_per_second: Some(of(211) as f64),
        out_per_second: Some(of(223) as f64),
        in_bytes_per_second: Some(of(227) as f64),
        out_bytes_per_second: Some(of(229) as f64),
        repairs_in: Some(of(31)),
        repairs_out: Some(of(37)),
        dropped: Some(of(41)),
        dropped_per_second: Some(of(43) as f64),
        drops: vec![DropCount { cause: "socket", count: of(40) }, DropCount { cause: "rejected", count: 10 }],
        busy: Some(of(4) as f64 / 100.0),
        stall_longest_ns: Some(of(47) * 1_000_000),
        written_next: Some(of(123_433)),
        durable_next: Some(of(123_422)),
        disk_free_bytes: Some(of(53) * SECOND),
        conditions: Vec::new(),
    }
}

fn handle(process: &str, kind: &'static str, figure: u64) -> HandleLine {
    HandleLine {
        process: process.to_owned(),
        kind,
        presence: NodePresence::Runs,
        absent_ns: None,
        is_connected: true,
        next: Some(1_234_500 + figure),
        lag: Some(figure),
        entries_per_second: Some(figure as f64 + 300.0),
        gaps: (kind == "reader").then_some(figure + 400),
        resends: (kind == "publisher").then_some(figure + 500),
        latency: Quantiles {
            p50_ns: Some((figure + 60) * 1_000),
            p99_ns: Some((figure + 160) * 1_000),
            longest_ns: Some((figure + 260) * 1_000),
        },
    }
}

fn process(name: &str) -> ProcessLine {
    let counter = |name: &str, value: u64, kind: &'static str, group: &str| CounterLine {
        name: name.to_owned(),
        value,
        group: group.to_owned(),
        unit: String::new(),
        kind,
        meaning: format!("The meaning of {name}."),
        state: None,
        per_second: (kind == "counter").then_some(value as f64 / 8.0),
        times: None,
    };
    let times = Quantiles { p50_ns: Some(81_000), p99_ns: Some(82_000), longest_ns: Some(83_000) };
    ProcessLine {
        process: name.to_owned(),
        kind: "replica".to_owned(),
        release: "0.1.0".to_owned(),
        pid: 40_001,
        life: "runs",
        silent_ns: None,
        since_ns: 90 * SECOND,
        published_at_ns: 0,
        counters: vec![
            CounterLine { state: Some("leader".to_owned()), ..counter("role", 2, "state", "engine") },
            counter("stamped", 4_568, "counter", "engine"),
            counter("gaps", 0, "counter", "engine"),
            CounterLine {
                times: Some(times),
                unit: "ns".to_owned(),
                ..counter("stall_ns", 72, "histogram", "engine")
            },
            counter("udp_datagrams_in", 91_234, "counter", "udp"),
        ],
    }
}

fn event(number: u64) -> EventLine {
    EventLine {
        at_ns: number * SECOND,
        node: "replica-2".to_owned(),
        code: format!("LS{number:04}"),
        text: format!("event number {number}"),
    }
}

/// Three replicas, two gateways, three handles.
fn snapshot() -> Snapshot {
    let gateway = |number: u64| GatewayLine {
        name: format!("gateway-{number}"),
        presence: NodePresence::Runs,
        absent_ns: None,
        is_ready: true,
        clients: Some(600 + number),
        logins_refused: Some(610 + number),
        in_per_second: Some(620.0 + number as f64),
        out_per_second: Some(630.0 + number as f64),
        refused: Some(640 + number),
        cut: Some(650 + number),
        blocked: Some(660 + number),
    };
    Snapshot {
        schema: SCHEMA,
        source: SnapshotSource::Cluster,
        at_ns: 3_600 * SECOND,
        rates_over_ns: Some(SECOND),
        times_over_ns: Some(10 * SECOND),
        cluster: ClusterLine {
            cluster: "18446744073709551615".to_owned(),
            health: Some("healthy"),
            summary: "healthy: 3 of 3 members answer and hold the log, 1 may crash".to_owned(),
            leader: Some("1:0a3f9c1".to_owned()),
            epoch: Some("7@1:0a3f9c1".to_owned()),
            round: Some(7),
            epoch_age_ns: Some(75 * SECOND),
            commit_next: Some(1_234_567),
            committed_per_second: Some(1_998.4),
            commit_latency: Some(Quantiles {
                p50_ns: Some(181_000),
                p99_ns: Some(182_000),
                longest_ns: Some(183_000),
            }),
            publishers: Some(55),
            ..ClusterLine::default()
        },
        nodes: vec![node(1), node(2), node(3)],
        gateways: vec![gateway(1), gateway(2)],
        handles: vec![
            handle("gateway-1", "publisher", 11),
            handle("gateway-1", "reader", 12),
            handle("risk", "reader", 13),
        ],
        events: Vec::new(),
        processes: vec![process("replica-1"), process("gateway-1")],
    }
}

fn view() -> ViewState {
    ViewState::new(true)
}

fn press(view: &mut ViewState, snapshot: &Snapshot, keys: &[Key]) {
    keys.iter().for_each(|key| view.key(*key, snapshot));
}

/// The whole screen, as a terminal has it.
fn screen(snapshot: &Snapshot, view: &ViewState, (width, height): (u16, u16)) -> Vec<String> {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).expect("memory");
    terminal.draw(|frame| draw(frame, snapshot, view)).expect("memory");
    let cells = terminal.backend().buffer().content();
    let line = |line: &[ratatui::buffer::Cell]| line.iter().map(|cell| cell.symbol()).collect();
    cells.chunks(width.into()).map(line).collect()
}

/// The columns from `from` to `to` of a line.
fn columns(line: &str, from: usize, to: usize) -> String {
    line.chars().skip(from).take(to - from).collect()
}

/// The cell under the title of a column, in the row that begins with `name` after the line of titles that
/// begins with `table`; `None` if the screen has no such column.
fn cell(screen: &[String], table: &str, name: &str, title: &str) -> Option<String> {
    let head = screen.iter().position(|line| line.starts_with(table)).expect("a table");
    let titles = &screen[head];
    let end = titles.find(&format!(" {title} ")).or_else(|| {
        titles.trim_end().ends_with(&format!(" {title}")).then(|| titles.trim_end().len() - title.len() - 1)
    })? + 1
        + title.len();
    let row = screen[head + 1..].iter().find(|line| line.starts_with(name)).expect("a row");
    columns(row, 0, end).split(' ').next_back().map(str::to_owned)
}

const SIZES: [(u16, u16); 4] = [(80, 24), (60, 20), (200, 50), (50, 12)];

#[test]
fn every_figure_of_a_node_stands_under_its_title_in_every_size() {
    let snapshot = snapshot();
    let mut seen = 0;
    for size in SIZES {
        let screen = screen(&snapshot, &view(), size);
        for node in &snapshot.nodes {
            let number = |figure: Option<u64>| figure.map(|figure| figure.to_string());
            let figures = [
                ("EPOCH", number(node.round)),
                ("END", number(node.accept_next)),
                ("COMMIT", number(node.commit_next)),
                ("LAG", number(node.lag)),
                ("ENT/s", node.entries_per_second.map(rate)),
                ("IN/s", node.in_per_second.map(rate)),
                ("OUT/s", node.out_per_second.map(rate)),
                ("DROPS", number(node.dropped)),
                ("BUSY", node.busy.map(share)),
                ("STALL", node.stall_longest_ns.map(brief)),
                ("INB/s", node.in_bytes_per_second.map(|rate| bytes(rate as u64))),
                ("OUTB/s", node.out_bytes_per_second.map(|rate| bytes(rate as u64))),
                ("REP-IN", number(node.repairs_in)),
                ("REP-OUT", number(node.repairs_out)),
                ("WRITTEN", number(node.written_next)),
                ("DURABLE", number(node.durable_next)),
                ("FREE", node.disk_free_bytes.map(bytes)),
                ("ACKED", node.acked_ago_ns.map(brief)),
            ];
            for (title, figure) in figures {
                if let Some(shown) = cell(&screen, "NODE", &node.name, title) {
                    assert_eq!(Some(shown), figure, "{size:?} {} {title}\n{}", node.name, screen.join("\n"));
                    seen += 1;
                }
            }
        }
    }
    assert!(seen > 90, "columns are found: {seen}");
}

#[test]
fn every_figure_of_gateways_and_handles_stands_under_its_title() {
    let snapshot = snapshot();
    for size in [(80, 24), (200, 50)] {
        let screen = screen(&snapshot, &view(), size);
        for gateway in &snapshot.gateways {
            let figures = [
                ("CLIENTS", gateway.clients.map(compact)),
                ("IN/s", gateway.in_per_second.map(rate)),
                ("OUT/s", gateway.out_per_second.map(rate)),
                ("REFUSED", gateway.refused.map(compact)),
                ("CUT", gateway.cut.map(compact)),
                ("BLOCKED", gateway.blocked.map(compact)),
                ("DENIED", gateway.logins_refused.map(compact)),
            ];
            for (title, figure) in figures {
                assert_eq!(cell(&screen, "GATEWAY", &gateway.name, title), figure, "{title}");
            }
        }
        let row = |kind: &str| {
            let at = screen.iter().position(|line| line.starts_with("PROCESS")).expect("handles");
            screen[at + 1..].iter().find(|line| line.contains(kind)).expect("a row").clone()
        };
        for handle in &snapshot.handles[..2] {
            let row = row(handle.kind);
            for figure in [handle.latency.p50_ns, handle.latency.p99_ns, handle.latency.longest_ns] {
                let figure = figure.map(brief).unwrap_or_default();
                assert!(row.contains(&figure), "{figure} in {row}");
            }
        }
    }
}

#[test]
fn no_column_moves_when_figures_grow_or_nodes_die() {
    let calm = snapshot();
    let mut other = calm.clone();
    for node in &mut other.nodes {
        let most = Some(9_999_999_999_999);
        (node.accept_next, node.lag, node.dropped) = (most, most, most);
        (node.in_per_second, node.busy, node.round) = (Some(1e12), Some(1.0), Some(123_456));
        node.stall_longest_ns = Some(59 * 60 * SECOND);
    }
    other.nodes[1] = NodeLine {
        presence: NodePresence::Ended,
        absent_ns: Some(86_000 * SECOND),
        in_per_second: None,
        busy: None,
        lag: None,
        ..other.nodes[1].clone()
    };
    other.cluster.summary = "degraded: 2 of 3 members answer and hold the log, no member may crash; \
                             2:0a3f9c2 does not answer at 10.1.0.2:4400; 1:0a3f9c1: redundancy is reduced: \
                             2 of 3 members hold the log and reach the leader, no more may crash"
        .repeat(3);
    other.cluster.leader = None;
    for size in SIZES {
        let (before, after) = (screen(&calm, &view(), size), screen(&other, &view(), size));
        for (line, (before, after)) in before.iter().zip(&after).enumerate() {
            let is_title = ["NODE", "GATEWAY", "PROCESS"].iter().any(|title| before.starts_with(title));
            if is_title {
                assert_eq!(before, after, "{size:?}: line {line}");
            }
        }
        for name in ["replica-1", "replica-2", "replica-3", "gateway-1"] {
            let place = |screen: &[String]| screen.iter().position(|line| line.starts_with(name));
            assert_eq!(place(&before), place(&after), "{size:?} {name}");
        }
        if let Some(stall) = cell(&after, "NODE", "replica-1", "STALL") {
            assert_eq!(stall, "59m");
        }
        assert_eq!(cell(&after, "NODE", "replica-2", "LAG").as_deref(), Some(UNKNOWN));
        assert!(after.iter().any(|line| line.starts_with("replica-2   ENDED 23h ")), "{}", after.join("\n"));
    }
}

#[test]
fn a_terminal_that_is_too_small_says_what_is_needed() {
    let (width, height) = SIZE_MIN;
    for size in [(width - 1, height), (width, height - 1), (30, 4), (1, 1)] {
        let text = screen(&snapshot(), &view(), size).join(" ");
        assert!(!text.contains("NODE"), "{text}");
        assert!(size.0 < 30 || text.contains("is too small"), "{text}");
    }
}

#[test]
fn more_nodes_than_lines_are_scrolled_with_the_selection() {
    let mut snapshot = snapshot();
    snapshot.nodes = (1..=40).map(node).collect();
    let mut view = view();
    let first = screen(&snapshot, &view, (80, 24)).join("\n");
    assert!(first.contains("NODE 7/40") && !first.contains("replica-40"), "{first}");
    press(&mut view, &snapshot, &[Key::PageDown; 3]);
    press(&mut view, &snapshot, &[Key::Down; 9]);
    assert_eq!(view.selected.as_deref(), Some("replica-40"));
    let last = screen(&snapshot, &view, (80, 24)).join("\n");
    assert!(last.contains("replica-40") && last.contains("/40"), "{last}");
}

#[test]
fn the_selected_node_has_its_drops_by_cause_and_its_gravest_condition() {
    let mut snapshot = snapshot();
    let condition = |code: &str| ConditionLine {
        code: code.to_owned(),
        what: format!("what {code} is"),
        advice: format!("do something about {code}"),
        age_ns: Some(5 * SECOND),
    };
    snapshot.nodes[1].conditions = vec![condition("LS1011"), condition("LS1018")];
    let mut view = view();
    press(&mut view, &snapshot, &[Key::Down]);
    let text = screen(&snapshot, &view, (80, 24)).join("\n");
    assert!(text.contains("drops 412 (432/s): socket 402, rejected 10"), "{text}");
    assert!(text.contains("LS1011 (and 1 more: Enter): what LS1011 is"), "{text}");
    assert!(text.contains("standby !"), "a condition is seen in the row: {text}");
    press(&mut view, &snapshot, &[Key::Enter]);
    let detail = screen(&snapshot, &view, (80, 24)).join("\n");
    assert!(detail.contains("LS1018 for 5.0s: what LS1018 is; do something about LS1018"), "{detail}");
    assert!(detail.contains("No counters file of it is on this host"), "{detail}");
}

#[test]
fn a_process_has_all_its_counters_with_their_meaning_and_zeros_on_demand() {
    let snapshot = snapshot();
    let mut view = view();
    press(&mut view, &snapshot, &[Key::Enter]);
    assert_eq!(view.page, ViewPage::Detail("replica-1".to_owned()));
    let text = screen(&snapshot, &view, (80, 24)).join("\n");
    for part in [
        "replica-1: process 40001, release 0.1.0, began 1m30s ago, runs",
        " role                               leader",
        " stall_ns                               72         p50 81us",
        " stamped                              4568     571 The meaning of stamped.",
        "p50 81us  p99 82us  max 83us",
        "\nudp ",
        " udp_datagrams_in                    91234   11404",
        "role: The meaning of role.",
    ] {
        assert!(text.contains(part), "'{part}' in\n{text}");
    }
    assert!(!text.contains(" gaps "), "{text}");
    press(&mut view, &snapshot, &[Key::Char('z'), Key::Down, Key::Down]);
    let text = screen(&snapshot, &view, (80, 24)).join("\n");
    assert!(text.contains(" gaps ") && text.contains("gaps: The meaning of gaps."), "{text}");
    press(&mut view, &snapshot, &[Key::Esc]);
    assert_eq!((&view.page, view.is_done), (&ViewPage::Overview, false));
}

#[test]
fn a_dead_process_alone_says_that_it_is_dead_and_since_when() {
    let mut snapshot = snapshot();
    snapshot.source = SnapshotSource::File;
    let dead = &mut snapshot.processes[0];
    (dead.life, dead.silent_ns, dead.published_at_ns) = ("ended", Some(180 * SECOND), 3_420 * SECOND);
    let mut view = ViewState::of_process(true, "replica-1");
    let text = screen(&snapshot, &view, (120, 24)).join("\n");
    assert!(text.contains("ENDED 3m00s ago; these are its last figures, of 00:57:00 UTC"), "{text}");
    press(&mut view, &snapshot, &[Key::Esc]);
    assert!(view.is_done, "there is no overview to go back to");
}

#[test]
fn events_have_a_part_of_their_own_when_there_are_some() {
    let mut snapshot = snapshot();
    assert!(!screen(&snapshot, &view(), (80, 40)).join("\n").contains("EVENT"));
    snapshot.events = (1..=50).map(event).collect();
    for size in [(80, 24), (200, 50)] {
        let text = screen(&snapshot, &view(), size).join("\n");
        assert!(text.contains("00:00:50 replica-2   LS0050 event number 50"), "the newest: {text}");
        assert!(text.contains("PROCESS") && text.contains("risk"), "{text}");
    }
}

#[test]
fn nodes_are_sorted_by_a_figure_and_the_selection_stays_with_its_node() {
    let mut snapshot = snapshot();
    snapshot.nodes[0].lag = None;
    let mut view = view();
    press(&mut view, &snapshot, &[Key::Down, Key::Char('s')]);
    let names = |view: &ViewState| -> Vec<String> {
        view.sorted(&snapshot).iter().map(|node| node.name.clone()).collect()
    };
    assert_eq!((view.sort, view.selected.as_deref()), (SortColumn::Lag, Some("replica-2")));
    assert_eq!(names(&view), ["replica-3", "replica-2", "replica-1"], "the unknown stands last");
    press(&mut view, &snapshot, &[Key::Char('S')]);
    assert_eq!(names(&view), ["replica-2", "replica-3", "replica-1"]);
    assert_eq!(view.selected.as_deref(), Some("replica-2"));
    press(&mut view, &snapshot, &[Key::Char('s'); 6]);
    assert_eq!(view.sort, SortColumn::Node, "all columns, and round again");
    assert_eq!(names(&view), ["replica-3", "replica-2", "replica-1"], "from the other end");
}

#[test]
fn keys_pause_help_and_quit() {
    let snapshot = snapshot();
    let mut view = view();
    press(&mut view, &snapshot, &[Key::Char('p')]);
    assert!(view.is_paused && screen(&snapshot, &view, (60, 20))[0].contains("PAUSED"));
    press(&mut view, &snapshot, &[Key::Char(' '), Key::Char('?')]);
    assert!(!view.is_paused && view.shows_help);
    assert!(screen(&snapshot, &view, (80, 24)).join("\n").contains("--local"));
    press(&mut view, &snapshot, &[Key::Down]);
    assert!(!view.shows_help && view.selected.is_none(), "the key closes the help and does no more");
    press(&mut view, &snapshot, &[Key::Up, Key::Home, Key::End]);
    assert_eq!(view.selected.as_deref(), Some("risk"), "gateways and handles are selected too");
    for key in [Key::Char('q'), Key::Ctrl('c'), Key::Esc] {
        let mut view = ViewState::new(false);
        press(&mut view, &snapshot, &[key]);
        assert!(view.is_done, "{key:?}");
    }
}

#[test]
fn without_colour_the_words_are_the_same() {
    let mut snapshot = snapshot();
    snapshot.nodes[2].presence = NodePresence::Silent;
    snapshot.cluster.health = Some("degraded");
    let cells = |color: bool| {
        let mut terminal = Terminal::new(TestBackend::new(80, 24)).expect("memory");
        let view = ViewState::new(color);
        terminal.draw(|frame| draw(frame, &snapshot, &view)).expect("memory");
        terminal.backend().buffer().clone()
    };
    let (plain, coloured) = (cells(false), cells(true));
    assert!(plain.content().iter().all(|cell| cell.fg == Color::Reset && cell.bg == Color::Reset));
    assert!(coloured.content().iter().any(|cell| cell.fg == Color::Red));
    for (plain, coloured) in plain.content().iter().zip(coloured.content()) {
        assert_eq!((plain.symbol(), plain.modifier), (coloured.symbol(), coloured.modifier));
        let stands_out = matches!(coloured.fg, Color::Red | Color::Yellow);
        assert!(!stands_out || coloured.modifier.intersects(Modifier::BOLD | Modifier::REVERSED));
    }
}

#[test]
fn one_screen_as_text_has_no_line_of_keys_and_no_blanks_at_the_end() {
    let text = text_of(&snapshot(), &view(), (80, 60));
    assert!(text.starts_with(" lockstep top") && text.contains("\nNODE ") && text.ends_with('\n'), "{text}");
    assert!(!text.contains("q quit") && text.lines().all(|line| line.trim_end() == line), "{text}");
    assert!(!text.ends_with("\n\n"), "{text:?}");
}

#[test]
fn what_is_not_known_is_null_in_json_and_a_dash_on_the_screen() {
    let mut snapshot = snapshot();
    snapshot.nodes[0].busy = None;
    let json: serde_json::Value =
        serde_json::from_str(&serde_json::to_string(&snapshot).expect("JSON")).expect("JSON");
    assert_eq!((&json["schema"], &json["source"]), (&"lockstep.top/1".into(), &"cluster".into()));
    assert!(json["nodes"][0]["busy"].is_null() && json["nodes"][1]["lag"] == 12);
    assert_eq!(json["processes"][0]["counters"][3]["p99_ns"], 82_000, "quantiles stand beside the name");
    assert!(json["processes"][0]["counters"][1].get("p99_ns").is_none());
    let screen = screen(&snapshot, &view(), (80, 24));
    assert_eq!(cell(&screen, "NODE", "replica-1", "BUSY").as_deref(), Some(UNKNOWN));
}
