//! QuickFIX's acceptance tests, scene by scene, each at its own gateway: the gateway answers as QuickFIX
//! does, or differs for a reason that docs/FIX.md states. `scenes.txt` has the scenes, and names their
//! source.

use super::place::{FixPlace, STEP};
use super::trader::is_request;
use super::{MS, S};
use crate::fix::codec::{FixFields, Framed, next_frame, seal};
use crate::fix::record::FixVersion;
use crate::fix::tags;
use crate::fix::value::utc_text;
use lockstep_wire::Nanos;
use std::collections::{BTreeSet, VecDeque};

const SCENES: &str = include_str!("scenes.txt");
const VERSIONS: [FixVersion; 3] = [FixVersion::Fix42, FixVersion::Fix44, FixVersion::Fixt11];

/// One scene of the file.
struct Scene {
    name: &'static str,
    versions: Vec<FixVersion>,
    /// Why the gateway differs from QuickFIX, if it does.
    differs: Option<&'static str>,
    steps: Vec<&'static str>,
}

fn scenes() -> Vec<Scene> {
    let mut scenes: Vec<Scene> = Vec::new();
    for line in SCENES.lines().filter(|line| !line.starts_with('#') && !line.is_empty()) {
        if let Some((name, versions)) = line.strip_prefix("scene ").and_then(|rest| rest.split_once(" in ")) {
            let is_in = |version: &FixVersion| {
                versions == "all" || versions.split(' ').any(|word| word == version.begin())
            };
            let versions: Vec<_> = VERSIONS.into_iter().filter(is_in).collect();
            assert!(!versions.is_empty(), "{line}");
            scenes.push(Scene { name, versions, differs: None, steps: Vec::new() });
            continue;
        }
        let scene = scenes.last_mut().expect("a scene before its steps");
        match line.strip_prefix("differs: ") {
            Some(reason) => scene.differs = Some(reason),
            None => scene.steps.push(line.strip_prefix("    ").expect("a step")),
        }
    }
    scenes
}

/// A client's connection.
#[derive(Default)]
struct Player {
    conn: Option<usize>,
    next: u64,
    inbox: Vec<u8>,
    /// Bodies of received messages that no step has checked yet.
    received: VecDeque<Vec<u8>>,
    is_closed: bool,
}

/// One scene in one version.
struct Stage {
    version: FixVersion,
    place: FixPlace,
    players: [Player; 2],
    at: usize,
}

impl Stage {
    fn new(version: FixVersion) -> Self {
        Self { version, place: FixPlace::new(), players: Default::default(), at: 0 }
    }

    fn step(&mut self, line: &str) -> Result<(), String> {
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        if let Some(number) = word.strip_prefix('<') {
            return self.expect(number, rest);
        }
        if let Some(waits) = self.players[self.at].received.front() {
            return Err(format!("and was sent {}", shown(waits)));
        }
        match word {
            "fresh" => *self = Self::new(self.version),
            "client" => self.at = rest.parse::<usize>().expect("1 or 2") - 1,
            "connect" => {
                let conn = self.place.accept(0).expect("room");
                self.players[self.at] = Player { conn: Some(conn), next: 1, ..Player::default() };
            }
            "on" => {
                self.step("connect")?;
                self.step("> A:30")?;
                self.step("<1 A 98=0|108=30")?;
            }
            "wait" => self.place.advance(rest.parse::<Nanos>().expect("seconds") * S),
            "closed" if !self.players[self.at].is_closed => return Err("it is not closed".into()),
            "closed" => {}
            _ => self.send(word.strip_prefix('>').expect("a step"), rest),
        }
        (0..6).for_each(|_| self.pump());
        Ok(())
    }

    /// Replaces `@` with a number of seconds, and `$`.
    fn filled(&self, text: &str) -> String {
        let mut parts = text.split('@');
        let mut whole = parts.next().unwrap_or_default().to_owned();
        for part in parts {
            let end = part.find(|c: char| !matches!(c, '0'..='9' | '+' | '-')).unwrap_or(part.len());
            let seconds: i64 = part[..end].parse().unwrap_or(0);
            let at = self.place.time().checked_add_signed(seconds * S as i64).expect("a time");
            whole.push_str(&utc_text(at));
            whole.push_str(&part[end..]);
        }
        whole.replace('$', self.version.begin())
    }

    fn send(&mut self, how: &str, rest: &str) {
        let mut bytes = Vec::new();
        match how {
            "as" => {
                let (begin, body) = rest.split_once(' ').expect("a BeginString");
                seal(&self.filled(begin), self.filled(body).replace('|', "\x01").as_bytes(), &mut bytes);
            }
            "raw" => bytes = self.filled(rest).replace('|', "\x01").into_bytes(),
            "bad" => {
                bytes = self.numbered(rest);
                let at = bytes.windows(3).position(|part| part == b"49=").expect("it has one");
                bytes[at] = b'g';
            }
            "sum" => {
                bytes = self.numbered(rest);
                let at = bytes.len() - 4;
                bytes[at..at + 3].copy_from_slice(b"256");
            }
            "len" => {
                let (by, rest) = rest.split_once(' ').expect("a difference");
                bytes = self.misled(&self.numbered(rest), by.parse().expect("a number"));
            }
            number => {
                let number = number.parse().unwrap_or(self.players[self.at].next);
                bytes = self.numbered(&format!("{number} {rest}"));
                self.players[self.at].next = number + 1;
            }
        }
        let player = &mut self.players[self.at];
        if let Some(conn) = player.conn.filter(|_| !player.is_closed) {
            self.place.on_bytes(0, conn, &bytes);
        }
    }

    /// `NUMBER TYPE FIELDS`, as a whole message.
    fn numbered(&self, rest: &str) -> Vec<u8> {
        let (number, rest) = rest.split_once(' ').expect("a number");
        let (kind, fields) = rest.split_once(' ').unwrap_or((rest, ""));
        let (kind, of) = kind.split_once(':').unwrap_or((kind, ""));
        let mut fields = self.filled(fields);
        if kind == "A" && !of.is_empty() {
            let shows = match self.version {
                FixVersion::Fix42 => "95=6|96=secret",
                FixVersion::Fix44 => "554=secret",
                FixVersion::Fixt11 => "554=secret|1137=9",
            };
            fields = format!("98=0|108={of}|{shows}|{fields}");
        } else if kind == "D" && !of.is_empty() {
            fields = order(of, &fields);
        }
        if is_request(&format!("35={kind}")) {
            fields = format!("{}|60=@", fields.trim_end_matches('|'));
        }
        let body = format!("35={kind}|34={number}|49=alice|56=LOCKSTEP|52=@|{fields}");
        let mut bytes = Vec::new();
        let body = format!("{}|", self.filled(&body).trim_end_matches('|')).replace('|', "\x01");
        seal(self.version.begin(), body.as_bytes(), &mut bytes);
        bytes
    }

    /// The same message with a body length that is wrong by `by`.
    fn misled(&self, bytes: &[u8], by: i64) -> Vec<u8> {
        let text = String::from_utf8(bytes.to_vec()).expect("ASCII");
        let (before, rest) = text.split_once("\x019=").expect("a length");
        let (len, rest) = rest.split_once('\x01').expect("more");
        let len = len.parse::<i64>().expect("a number") + by;
        format!("{before}\x019={len}\x01{rest}").into_bytes()
    }

    fn pump(&mut self) {
        self.place.advance(2 * STEP);
        for player in &mut self.players {
            let Some(conn) = player.conn.filter(|_| !player.is_closed) else { continue };
            let (bytes, is_done) = self.place.take_out(0, conn).expect("it lives");
            player.inbox.extend_from_slice(&bytes);
            while let Framed::Whole { begin, body, len } = next_frame(&player.inbox) {
                assert_eq!(begin, self.version.begin().as_bytes());
                let body = body.to_vec();
                player.inbox.drain(..len);
                player.received.push_back(body);
            }
            assert!(player.inbox.is_empty(), "{}", shown(&player.inbox));
            if is_done {
                self.place.on_closed(0, conn);
                player.is_closed = true;
            }
        }
    }

    fn expect(&mut self, number: &str, rest: &str) -> Result<(), String> {
        let body = self.players[self.at].received.pop_front().ok_or("and was sent nothing")?;
        let (kind, wanted) = rest.split_once(' ').unwrap_or((rest, ""));
        let (fields, fault) = FixFields::parse(&body);
        let value = |tag: u32| fields.get(tag).map(|value| String::from_utf8_lossy(value).into_owned());
        let is_right = fault.is_none()
            && fields.kind() == kind.as_bytes()
            && value(tags::MSG_SEQ_NUM).as_deref() == Some(number)
            && wanted.split('|').filter(|field| !field.is_empty()).all(|field| {
                let field = self.filled(field);
                match (field.strip_prefix('!'), field.split_once('=')) {
                    (Some(tag), _) => value(tag.parse().expect("a tag")).is_none(),
                    // FIX 4.2 has no reason above 11, and QuickFIX leaves it out.
                    (None, Some(("373", reason)))
                        if self.version == FixVersion::Fix42 && reason.len() == 2 && reason > "11" =>
                    {
                        value(373).is_none()
                    }
                    (None, Some((tag, wanted))) => {
                        value(tag.parse().expect("a tag")).as_deref() == Some(wanted)
                    }
                    (None, None) => panic!("{field} is no field"),
                }
            });
        if is_right { Ok(()) } else { Err(format!("and was sent {}", shown(&body))) }
    }
}

/// An order's fields; those of `changes` replace them.
fn order(name: &str, changes: &str) -> String {
    let mut fields = vec![("11", name), ("55", "ABC"), ("54", "1"), ("38", "11"), ("40", "2"), ("44", "10")];
    let mut more = String::new();
    for change in changes.split('|').filter(|change| !change.is_empty()) {
        let (tag, value) = change.split_once('=').unwrap_or((change, ""));
        match fields.iter_mut().find(|(known, _)| *known == tag) {
            Some((_, old)) => *old = value,
            None => more.push_str(&format!("{change}|")),
        }
    }
    fields.retain(|(_, value)| *value != "-");
    let fields: String = fields.iter().map(|(tag, value)| format!("{tag}={value}|")).collect();
    fields + &more
}

fn shown(body: &[u8]) -> String {
    String::from_utf8_lossy(body).replace('\x01', "|")
}

fn play(scene: &Scene, version: FixVersion) -> Result<(), String> {
    let mut stage = Stage::new(version);
    let place = format!("{} in {}", scene.name, version.begin());
    for (index, step) in scene.steps.iter().enumerate() {
        stage.step(step).map_err(|what| format!("{place}, step {}: {step} {what}", index + 1))?;
    }
    match stage.players.iter_mut().find_map(|player| player.received.pop_front()) {
        Some(more) => Err(format!("{place}: more was sent: {}", shown(&more))),
        None => Ok(()),
    }
}

#[test]
fn each_scene_of_quickfix_is_answered_as_quickfix_does_or_differs_for_a_reason() {
    let scenes = scenes();
    let played =
        scenes.iter().flat_map(|scene| scene.versions.iter().map(move |version| play(scene, *version)));
    let wrong: Vec<_> = played.filter_map(Result::err).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let names: BTreeSet<_> = scenes.iter().map(|scene| scene.name).collect();
    assert_eq!((names.len(), scenes.len()), (63, 63), "all of them, each once");
}

/// The document counts them, and states each reason as it stands here.
#[test]
fn each_scene_that_differs_from_quickfix_stands_in_the_document_with_its_reason() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/FIX.md");
    let document = std::fs::read_to_string(path).expect("the document");
    let scenes = scenes();
    let differing: Vec<_> =
        scenes.iter().filter_map(|scene| scene.differs.map(|reason| (scene.name, reason))).collect();
    let count = format!("{} of {} scenes", scenes.len() - differing.len(), scenes.len());
    assert!(document.contains(&count), "the document says: {count}");
    for (name, reason) in differing {
        let mut rows = document.lines().filter(|line| line.starts_with("| "));
        let has_row = rows.any(|row| row.contains(&format!("`{name}`")) && row.contains(reason));
        assert!(has_row, "| `{name}` | {reason} |");
    }
}

/// The gateway sends no value to FIX 4.2 clients that FIX 4.2 lacks.
#[test]
fn a_client_of_fix_4_2_is_sent_no_value_that_fix_4_2_lacks() {
    const LARGEST: [(u32, u64); 5] = [(102, 3), (103, 8), (373, 11), (378, 5), (380, 5)];
    let mut stage = Stage::new(FixVersion::Fix42);
    stage.step("on").expect("it is logged on");
    let mut count = 0;
    for line in [
        "> D:a 40=2|44=10|44=11",                     // 373 = 13
        "> D:a 386=1|625=x",                          // 373 = 15
        "> D:a 386=3|336=x",                          // 373 = 16
        "> A 98=0|108=30",                            // 373 = 99
        "> D:a 40=3",                                 // 103 = 11
        "> D:b",                                      // an order,
        "> D:c",                                      // and another
        "> G 11=b|41=c|55=ABC|54=1|38=11|40=2|44=10", // 102 = 6
        "> G 11=d|41=c|55=ABC|54=2|38=11|40=2|44=10", // 102 = 99
        "> G 11=d|41=c|55=ABC|54=1|38=11|40=3|44=10", // 102 = 99
        "> V",                                        // 380 = 3
    ] {
        stage.step(line).expect("it is sent");
        stage.place.advance(10 * MS);
        for body in stage.players[0].received.drain(..) {
            let (fields, fault) = FixFields::parse(&body);
            assert_eq!(fault, None);
            count += 1;
            for (tag, largest) in LARGEST {
                let value = fields.number(tag);
                assert!(value.is_none_or(|value| value <= largest), "{line}: {}", shown(&body));
            }
        }
    }
    assert_eq!(count, 11, "each is answered");
}
