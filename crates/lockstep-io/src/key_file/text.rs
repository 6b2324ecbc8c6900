//! The text of a key file: parsing and printing.

use super::{GenerationRow, GenerationUse, KeyFile, PublisherKey, TITLE};
use crate::clock::Utc;
use lockstep_wire::{
    GENERATIONS, Key, KeyClass, KeyRights, PUBLISHER_KEYS_MAX, RecipientRule, RecipientRules,
};
use std::fmt::{self, Write};
use zeroize::Zeroizing;

impl KeyFile {
    /// Parses the text of a file.
    ///
    /// # Errors
    /// The text names the line and what must stand there.
    pub fn parse(text: &str) -> Result<Self, String> {
        let lines = text.lines().map(str::trim).enumerate();
        let mut lines = lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
        match lines.next() {
            Some((_, TITLE)) => {}
            Some((at, _)) => return Err(format!("line {}: the first line has to be '{TITLE}'", at + 1)),
            None => return Err(format!("it is empty; the first line has to be '{TITLE}'")),
        }
        let mut head = |word: &str| {
            let (at, line) = lines.next().ok_or(format!("it ends before '{word} …'"))?;
            let value = line.strip_prefix(word).and_then(|rest| rest.strip_prefix(' '));
            value
                .map(|value| (at + 1, value.trim()))
                .ok_or(format!("line {}: '{word} …' must be here", at + 1))
        };
        let (at, cluster) = head("cluster")?;
        let cluster =
            cluster.parse().map_err(|_| format!("line {at}: '{cluster}' is no cluster's number"))?;
        let (at, class) = head("class")?;
        let class = parse_class(class).ok_or_else(|| {
            format!("line {at}: '{class}' is no class; write replica, reader, or publisher and its number")
        })?;
        // Rows that grow would leave keys in freed memory.
        let generations = Vec::with_capacity(GENERATIONS);
        let (rights, recipients) = (Vec::new(), RecipientRules::default());
        let mut file = Self { cluster, class, rights, recipients, generations };
        for (at, line) in lines {
            file.take_line(line).map_err(|why| format!("line {}: {why}", at + 1))?;
        }
        file.check()?;
        Ok(file)
    }

    fn take_line(&mut self, line: &str) -> Result<(), String> {
        let words: Vec<&str> = line.split_whitespace().collect();
        if let ["generation", number, usage, ref until @ ..] = words[..] {
            let number = number.parse().ok().filter(|number| usize::from(*number) < GENERATIONS);
            let number = number.ok_or(format!("a generation's number is below {GENERATIONS}"))?;
            if self.generations.iter().any(|row| row.number == number) {
                return Err(format!("generation {number} is listed twice"));
            }
            let usage = GenerationUse::ALL.into_iter().find(|one| one.name() == usage);
            let usage = usage.ok_or("a generation is retired, accepted or sealing")?;
            let until = match until {
                [] => None,
                ["until", day] => Some(Utc::day(day).ok_or(format!("'{day}' is no day like 2027-03-31"))?),
                _ => return Err("only 'until' and a day may follow a generation's use".to_owned()),
            };
            let (replica, reader, publishers) = (None, [0; 16], Vec::new());
            let row = GenerationRow { number, usage, until, replica, reader, publishers };
            self.generations.push(row);
            return Ok(());
        }
        if let ["rights", number, ref words @ ..] = words[..] {
            let number = parse_publisher(number)?;
            let is_new = self.rights.iter().all(|(other, _)| *other != number);
            if !is_new || !self.generations.is_empty() {
                return Err(format!(
                    "the rights of publisher {number} are listed once, before the first generation"
                ));
            }
            self.rights.push((number, KeyRights::parse(words.iter().copied())?));
            return Ok(());
        }
        if let ["recipients", ref words @ ..] = words[..] {
            let rule = RecipientRule::parse(words)?;
            let is_new = self.recipients.iter().all(|other| other.recipients() != rule.recipients());
            if !is_new || !self.generations.is_empty() {
                return Err(format!(
                    "the rule for recipients '{}' is listed once, before the first generation",
                    rule.recipients()
                ));
            }
            return self.recipients.set(rule);
        }
        let row = self.generations.last_mut().ok_or("'generation NUMBER USE' must precede its keys")?;
        match words[..] {
            ["replica", key] => row.replica = Some(parse_key(key)?),
            ["reader", key] => row.reader = parse_key(key)?,
            ["publisher", number, key, name] => {
                let number = parse_publisher(number)?;
                if row.publishers.iter().any(|other| other.number == number) {
                    return Err(format!("publisher {number} is listed twice"));
                }
                row.push(PublisherKey { number, name: name.to_owned(), key: parse_key(key)? });
            }
            _ => return Err("neither a generation nor a key".to_owned()),
        }
        Ok(())
    }

    /// Whether a process can use the file: one generation seals, and each accepted one has the process's key.
    fn check(&self) -> Result<(), String> {
        let sealing = self.generations.iter().filter(|row| row.usage == GenerationUse::Sealing).count();
        if sealing != 1 {
            return Err(format!("{sealing} generations seal, and exactly one must"));
        }
        for row in &self.generations {
            let has_own = match self.class {
                _ if row.usage == GenerationUse::Retired && self.class != KeyClass::Replica => true,
                KeyClass::Replica => row.replica.is_some(),
                KeyClass::Reader => true,
                KeyClass::Publisher(number) => row.publishers.iter().any(|one| one.number == number),
            };
            if !has_own || row.reader == [0; 16] {
                return Err(format!(
                    "generation {} lacks the keys of a {}",
                    row.number,
                    class_name(self.class)
                ));
            }
        }
        Ok(())
    }
}

impl KeyFile {
    /// The text of the file, which is overwritten when it is dropped.
    pub fn text(&self) -> Zeroizing<String> {
        // A text that grows would leave parts of itself in freed memory.
        let mut length = Length(0);
        let counted = self.write_text(&mut length);
        let mut text = Zeroizing::new(String::with_capacity(length.0));
        counted.and_then(|()| self.write_text(&mut *text)).expect("neither writer can fail");
        text
    }

    fn write_text(&self, f: &mut impl Write) -> fmt::Result {
        writeln!(f, "{TITLE}\ncluster {}\nclass {}", self.cluster, class_name(self.class))?;
        for (number, rights) in &self.rights {
            writeln!(f, "rights {number}{rights}")?;
        }
        for rule in self.recipients.iter() {
            writeln!(f, "recipients {rule}")?;
        }
        for row in &self.generations {
            write!(f, "generation {} {}", row.number, row.usage.name())?;
            match row.until {
                Some(until) => writeln!(f, " until {}", until.date())?,
                None => writeln!(f)?,
            }
            if let Some(key) = &row.replica {
                writeln!(f, "replica {}", Hex(key))?;
            }
            writeln!(f, "reader {}", Hex(&row.reader))?;
            for PublisherKey { number, name, key } in &row.publishers {
                writeln!(f, "publisher {number} {} {name}", Hex(key))?;
            }
        }
        Ok(())
    }
}

/// Counts the bytes that are written.
struct Length(usize);

impl Write for Length {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0 += text.len();
        Ok(())
    }
}

/// A key in hexadecimal digits, printed without an intermediate text.
struct Hex<'a>(&'a Key);

impl fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// The class as a key file names it.
pub fn class_name(class: KeyClass) -> String {
    match class {
        KeyClass::Replica => "replica".to_owned(),
        KeyClass::Reader => "reader".to_owned(),
        KeyClass::Publisher(number) => format!("publisher {number}"),
    }
}

fn parse_publisher(number: &str) -> Result<u16, String> {
    let number = number.parse().ok().filter(|number| *number < PUBLISHER_KEYS_MAX);
    number.ok_or(format!("a publisher's number is below {PUBLISHER_KEYS_MAX}"))
}

fn parse_class(text: &str) -> Option<KeyClass> {
    match text.split_whitespace().collect::<Vec<_>>()[..] {
        ["replica"] => Some(KeyClass::Replica),
        ["reader"] => Some(KeyClass::Reader),
        ["publisher", number] => parse_publisher(number).ok().map(KeyClass::Publisher),
        _ => None,
    }
}

fn parse_key(text: &str) -> Result<Key, String> {
    let is_hex = text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let key = is_hex.then(|| u128::from_str_radix(text, 16).ok()).flatten().filter(|key| *key != 0);
    // The text itself is a secret, so the error does not show it.
    key.map(u128::to_be_bytes).ok_or_else(|| "a key is 32 hexadecimal digits, not all zero".to_owned())
}
