//! `--set`: keys of the cluster's file, written into it, so that each program that reads it has them.

use lockstep_daemon::Failure;
use lockstep_daemon::failure::USAGE;
use std::fs;
use std::path::Path;
use toml::{Table, Value};

/// Writes these keys, each as `KEY=VALUE`, into the file. Whether the file may have them its reader decides.
///
/// # Errors
/// A key cannot be, or the file can neither be read nor written.
pub fn set_in_file(file: &Path, set: &[String]) -> Result<(), Failure> {
    let text = fs::read_to_string(file)?;
    let refused = |why: String| Failure::new(USAGE, why);
    let mut document: Table = text.parse().map_err(|error: toml::de::Error| refused(error.to_string()))?;
    for set in set {
        insert(&mut document, set).map_err(refused)?;
    }
    let text = toml::to_string(&document).map_err(|error| refused(error.to_string()))?;
    Ok(fs::write(file, format!("# Made by `lockstep dev`. It ends with it.\n{text}"))?)
}

/// Sets one key: `table.key=VALUE`, or `list.ITEM.key=VALUE` of the item with this number.
fn insert(document: &mut Table, set: &str) -> Result<(), String> {
    let (key, text) = set.split_once('=').ok_or_else(|| {
        format!("--set {set} has no '=': write --set KEY=VALUE, like stream.window_bytes=1MiB")
    })?;
    let mut path: Vec<&str> = key.trim().split('.').collect();
    let last = path.pop().filter(|last| !last.is_empty());
    let last = last.ok_or_else(|| format!("--set {set} names no key"))?;
    let mut table = document;
    let mut parts = path.into_iter();
    while let Some(part) = parts.next() {
        let is_list = ["lines", "replicas", "archivers", "channels"].contains(&part);
        let entry = table.entry(part);
        let inner = entry
            .or_insert_with(|| if is_list { Value::Array(Vec::new()) } else { Value::Table(Table::new()) });
        table = match inner {
            Value::Table(inner) => inner,
            Value::Array(items) => item(items, part, parts.next().unwrap_or_default()).ok_or_else(|| {
                format!("--set {set}: write {part}.NUMBER.KEY, with the number of one that the file has")
            })?,
            _ => return Err(format!("--set {set}: {part} is no table")),
        };
    }
    table.insert(last.to_owned(), value(text.trim()));
    Ok(())
}

/// The item of a list with this number: of a channel or a node its id, of a line its place. A channel that
/// the file has not is added.
fn item<'a>(items: &'a mut Vec<Value>, list: &str, number: &str) -> Option<&'a mut Table> {
    let number: i64 = number.parse().ok()?;
    let has_number = |(place, item): (usize, &Value)| match item.get("id").and_then(Value::as_integer) {
        Some(id) => id == number,
        None => place as i64 + 1 == number,
    };
    let found = items.iter().enumerate().position(has_number);
    let place = found.or_else(|| {
        (list == "channels").then(|| {
            items.push(Value::Table(Table::from_iter([("id".to_owned(), Value::Integer(number))])));
            items.len() - 1
        })
    })?;
    items.get_mut(place)?.as_table_mut()
}

/// A value as the file would have it: a number, a word of TOML, or else a text.
fn value(text: &str) -> Value {
    let parsed = format!("value = {text}").parse::<Table>();
    parsed.ok().and_then(|mut table| table.remove("value")).unwrap_or_else(|| Value::String(text.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str =
        "cluster = 7\n[[lines]]\nttl = 1\n[[replicas]]\nid = 1\n[[replicas]]\nid = 2\n[stream]\na = 1\n";

    fn with(set: &[&str]) -> Result<Table, String> {
        let mut document: Table = FILE.parse().expect("TOML");
        set.iter().try_for_each(|set| insert(&mut document, set)).map(|()| document)
    }

    #[test]
    fn keys_of_tables_of_lists_and_of_new_channels_are_written_as_the_file_has_them() {
        let set = [
            "stream.window_bytes=1MiB",
            "stream.a=2",
            "replicas.2.core=3",
            "lines.1.ttl=4",
            "gateway.rate=true",
            "channels.9.message_len_max=200",
            "channels.9.id=9",
        ];
        let wanted: Table = "cluster = 7\n[[lines]]\nttl = 4\n[[replicas]]\nid = 1\n[[replicas]]\nid = 2\ncore = 3\n\
            [stream]\na = 2\nwindow_bytes = \"1MiB\"\n[gateway]\nrate = true\n[[channels]]\nid = 9\nmessage_len_max = 200\n"
            .parse()
            .expect("TOML");
        assert_eq!(with(&set), Ok(wanted));
    }

    #[test]
    fn a_key_that_cannot_be_is_refused_with_what_to_write() {
        for (set, part) in [
            ("stream.a", "KEY=VALUE"),
            ("=3", "no key"),
            ("replicas.3.core=1", "replicas.NUMBER.KEY"),
            ("cluster.a=1", "cluster is no table"),
            ("replicas.x=1", "replicas.NUMBER.KEY"),
        ] {
            let refused = with(&[set]).expect_err(set);
            assert!(refused.contains(part), "{set}: {refused}");
        }
    }
}
