//! The file's layer: TOML with the position of everything in it.
//!
//! The parser recovers from text that it cannot read, and so do we: an unknown key or a wrong value is
//! noted and reading continues.

use super::Override;
use super::layers::{At, Cell, Item, Layers};
use super::problem::Code;
use super::schema::{self, LISTS, SECTIONS};
use super::set;
use super::value::{Complaint, Raw, nearest, number_of};
use std::collections::BTreeSet;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

impl Layers<'_> {
    /// Reads the whole file; of a set's file what concerns the stream that `chosen` names.
    pub(super) fn read_file(&mut self, chosen: Option<&Override>) {
        let (root, broken) = DeTable::parse_recoverable(self.text);
        let root = root.get_ref();
        self.read_streams(root);
        self.place = self.choose(chosen);
        self.read_root(root, &[set::LIST]);
        if let Some(index) = self.place {
            self.move_apart(index);
            let streams = root.get(set::LIST).and_then(|list| list.get_ref().as_array());
            // Streams that are wrong have no place in the set, so the one that is meant is found by its name.
            let is_own = |item: &&DeValue<'_>| {
                item.get("name").and_then(|name| name.get_ref().as_str()) == Some(&self.set[index].name)
            };
            let own = streams.into_iter().flatten().map(Spanned::get_ref).find(is_own);
            if let Some(DeValue::Table(own)) = own {
                self.refuse_of_all(own);
                self.read_root(own, &set::KEYS);
            }
            self.place_leader(index);
        }
        if !broken.is_empty() {
            self.keep_only_syntax(&broken);
        }
    }

    /// Reads the tables and keys of a file, or of one stream in it, without those that are read elsewhere.
    fn read_root(&mut self, root: &DeTable<'_>, elsewhere: &[&str]) {
        for (name, value) in root.iter().filter(|(name, _)| !elsewhere.contains(&name.get_ref().as_ref())) {
            let (text, span) = (name.get_ref().as_ref(), name.span());
            match value.get_ref() {
                DeValue::Table(table) if SECTIONS.contains(&text) => self.read_table(table, text, text),
                DeValue::Array(items) if LISTS.contains(&text) => self.read_list(items, text),
                DeValue::Table(table) if LISTS.contains(&text) => {
                    let hint = format!("write [[{text}]], with two brackets");
                    let rule = format!("is a list, even of one, and this is a table of {} keys", table.len());
                    self.refused.insert(text.into());
                    self.push(Code::Type, text, text, rule, hint, At::File(span));
                }
                other if SECTIONS.contains(&text) || LISTS.contains(&text) => {
                    self.refused.insert(text.into());
                    let (is_list, what) = (LISTS.contains(&text), other.type_str());
                    let hint = if is_list { format!("write [[{text}]]") } else { format!("write [{text}]") };
                    self.push(
                        Code::Type,
                        text,
                        text,
                        format!("is a table, not a TOML {what}"),
                        hint,
                        At::File(span),
                    );
                }
                _ => self.read_key(name, value, "", ""),
            }
        }
    }

    /// `table` as the schema names it, `prefix` as this item is named.
    fn read_table(&mut self, values: &DeTable<'_>, table: &str, prefix: &str) {
        for (name, value) in values {
            self.read_key(name, value, table, prefix);
        }
    }

    fn read_list(&mut self, values: &[Spanned<DeValue<'_>>], list: &str) {
        let mut labels = BTreeSet::new();
        for (index, item) in values.iter().enumerate() {
            let DeValue::Table(table) = item.get_ref() else {
                let rule = format!("is a list of tables, and this is a TOML {}", item.get_ref().type_str());
                self.push(Code::Type, list, "", rule, format!("write [[{list}]]"), At::File(item.span()));
                continue;
            };
            let id = table.get("id").and_then(|id| id.get_ref().as_integer()).and_then(number_of);
            let id = id.map(|id| id.to_string());
            let label = match (list, id) {
                ("lines", _) => (index + 1).to_string(),
                (_, Some(id)) if labels.insert(id.clone()) => id,
                _ => format!("#{}", index + 1),
            };
            self.read_table(table, list, &format!("{list}.{label}"));
            let items = match list {
                "lines" => &mut self.lines,
                "archivers" => &mut self.archivers,
                "channels" => &mut self.channels,
                "coordinators" => &mut self.coordinators,
                _ => &mut self.replicas,
            };
            // A stream of a set adds to an item that the common part has.
            if items.iter().all(|known| known.label != label) {
                items.push(Item { label, span: item.span() });
            }
        }
    }

    fn read_key(
        &mut self,
        name: &Spanned<toml::de::DeString<'_>>,
        value: &Spanned<DeValue<'_>>,
        table: &str,
        prefix: &str,
    ) {
        let text = name.get_ref().as_ref();
        let join = |table: &str| if table.is_empty() { text.to_string() } else { format!("{table}.{text}") };
        let (path, key) =
            (if LISTS.contains(&table) { join(&format!("{table}.*")) } else { join(table) }, join(prefix));
        let Some(row) = schema::row(&path) else {
            return self.push(
                Code::UnknownKey,
                &key,
                text,
                "is not a key".into(),
                hint_for_unknown(text, table),
                At::File(name.span()),
            );
        };
        let span = value.span();
        let raw = match value.get_ref() {
            DeValue::String(text) => Raw::String(text),
            DeValue::Integer(number) => Raw::Integer(number_of(number)),
            DeValue::Boolean(value) => Raw::Bool(*value),
            other => Raw::Other(other.type_str()),
        };
        match row.kind.parse(raw) {
            Ok(value) => {
                let origin = self.place_of(span.start);
                self.cells.insert(key, Cell { value, origin, span: Some(span) });
            }
            Err(Complaint(code, rule, hint)) => {
                let quoted = self.text.get(span.clone()).unwrap_or_default().to_string();
                self.refused.insert(key.clone());
                self.push(code, &key, &quoted, rule, hint, At::File(span));
            }
        }
    }

    /// Puts the parser's problems first; of ours stay those on lines that it understood.
    fn keep_only_syntax(&mut self, broken: &[toml::de::Error]) {
        let text = self.text;
        let line_of = |at: usize| text.get(..at).unwrap_or(text).matches('\n').count();
        let spans: Vec<_> = broken.iter().map(|error| error.span().unwrap_or(0..0)).collect();
        let lines: BTreeSet<_> = spans.iter().map(|span| line_of(span.start)).collect();
        let mut retained = std::mem::take(&mut self.problems);
        retained.retain(|problem| {
            problem.span.as_ref().is_some_and(|span| !lines.contains(&line_of(span.start)))
        });
        self.problems = retained;
        for (error, span) in broken.iter().zip(spans) {
            let quoted = self.text.get(span.clone()).unwrap_or_default().to_string();
            let message = error.message().trim().replace('\n', ", ");
            let hint = if message.contains("duplicate") {
                "keep one of them".into()
            } else {
                "write [table] or key = value, with text, durations, sizes and addresses in quotes".into()
            };
            self.push(Code::Syntax, "", &quoted, message, hint, At::File(span));
        }
    }
}

/// The table in which an unknown key probably belongs, or the key that was probably meant.
fn hint_for_unknown(name: &str, table: &str) -> String {
    let here: Vec<_> = if table.is_empty() {
        schema::names_in("").chain(SECTIONS.iter().chain(LISTS).copied()).collect()
    } else {
        schema::names_in(table).collect()
    };
    if let Some(near) = nearest(name, here.iter().copied()) {
        return format!("did you mean {near}?");
    }
    let elsewhere = SECTIONS.iter().chain(LISTS).find(|other| schema::names_in(other).any(|key| key == name));
    match elsewhere {
        Some(other) if LISTS.contains(other) => format!("it belongs into [[{other}]]"),
        Some(other) => format!("it belongs into [{other}]"),
        None => format!("the keys here are {}", here.join(", ")),
    }
}
