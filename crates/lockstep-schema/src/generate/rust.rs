//! A module of Rust.

use super::Code;
use super::plan::{
    FieldForm, PlanField, PlanForm, PlanGroup, PlanMessage, PlanNames, PlanPart, SourcePlan, groups,
};
use crate::NumberPlace;

const SUPPORT: &str = include_str!("support/rust.txt");

/// The source.
pub fn source(plan: &SourcePlan) -> String {
    let mut code = Code::begun("//", "rust", plan);
    code.text(SUPPORT);
    type_of(&mut code, plan);
    for names in &plan.names {
        named(&mut code, names);
    }
    for message in &plan.messages {
        structure(&mut code, plan, message);
    }
    any(&mut code, plan);
    code.0
}

fn type_of(code: &mut Code, plan: &SourcePlan) {
    let place = plan.place;
    let number = |place: NumberPlace| {
        let is_little = place.is_little();
        format!("number(payload, {}, {}, {is_little})", place.offset, place.len)
    };
    code.gap();
    code.lines(0, "/// The number of a payload's type.\n#[allow(dead_code)]\nfn type_of(payload: &[u8]) -> Option<u64> {");
    let len = plan.type_end();
    let schema = plan.header.and_then(|header| header.schema);
    let is_other = schema.map(|(place, id)| format!(" || {} != {id}", number(place)));
    code.lines(
        1,
        format!("if payload.len() < {len}{} {{\n    return None;\n}}", is_other.unwrap_or_default()),
    );
    code.lines(1, format!("Some({})", number(place)));
    code.lines(0, "}");
    if let Some(header) = plan.header {
        code.gap();
        code.lines(0, "/// Where the fields of a payload end, and the version of its schema.");
        code.lines(0, "fn block_of(payload: &[u8]) -> (usize, u64) {");
        code.lines(
            1,
            format!(
                "let end = {}usize.saturating_add({} as usize).min(payload.len());",
                header.len,
                number(header.block_len)
            ),
        );
        let version = header.version.map_or_else(|| "u64::MAX".into(), |(place, _)| number(place));
        code.lines(1, format!("(end, {version})"));
        code.lines(0, "}");
    }
}

fn named(code: &mut Code, names: &PlanNames) {
    let (name, bits) = (names.name.pascal(), 8 * names.width());
    let what = if names.is_set { "Bits" } else { "A number" };
    code.gap();
    code.lines(0, format!("/// {what}, of which some have names.\n#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]\npub struct {name}(pub u{bits});"));
    code.gap();
    code.lines(0, format!("#[allow(dead_code)]\nimpl {name} {{"));
    for (number, value) in &names.values {
        code.lines(1, format!("pub const {}: Self = Self({number});", value.upper()));
    }
    code.gap();
    if names.is_set {
        code.lines(1, "/// Whether it has all of these bits.\npub fn has(self, bits: Self) -> bool {\n    self.0 & bits.0 == bits.0\n}");
    } else {
        code.lines(
            1,
            "/// The name of its value.\npub fn name(self) -> Option<&'static str> {\n    match self.0 {",
        );
        for (number, value) in &names.values {
            code.lines(3, format!("{number} => Some(\"{}\"),", value.snake()));
        }
        code.lines(1, "        _ => None,\n    }\n}");
    }
    code.lines(0, "}");
    if names.is_set {
        code.gap();
        code.lines(0, format!("impl std::ops::BitOr for {name} {{\n    type Output = Self;\n\n    fn bitor(self, bits: Self) -> Self {{\n        Self(self.0 | bits.0)\n    }}\n}}"));
    }
}

fn type_name(plan: &SourcePlan, field: &PlanField) -> String {
    let bits = 8 * field.width();
    match field.form {
        FieldForm::Uint => format!("u{bits}"),
        FieldForm::Int => format!("i{bits}"),
        FieldForm::Float => format!("f{bits}"),
        FieldForm::Bool => "bool".into(),
        FieldForm::Text(_) => format!("Text<{}>", field.len),
        form => plan.names_of(form).map(|names| names.name.pascal()).unwrap_or_default(),
    }
}

/// What reads a field of `payload`.
fn read(plan: &SourcePlan, field: &PlanField) -> String {
    let PlanField { at, len, is_little, .. } = *field;
    let number = format!("number(payload, {at}, {len}, {is_little})");
    let (of, plain) = (type_name(plan, field), field.name.plain());
    let cast = if of == "u64" { number.clone() } else { format!("{number} as {of}") };
    let narrowed =
        if field.width() == 8 { number.clone() } else { format!("{number} as u{}", 8 * field.width()) };
    let (value, absent) = match field.form {
        FieldForm::Uint => (cast, field.absent.to_string()),
        FieldForm::Int => {
            (format!("signed(payload, {at}, {len}, {is_little}) as {of}"), field.absent_signed().to_string())
        }
        FieldForm::Float => {
            (format!("{of}::from_bits({narrowed})"), format!("{of}::from_bits({})", field.absent))
        }
        FieldForm::Bool => (format!("flag(\"{plain}\", payload[{at}])?"), "false".into()),
        FieldForm::Text(fill) => {
            let bytes = format!("&payload[{at}..{}]", field.end());
            (format!("Text::read(\"{plain}\", {bytes}, {fill})?"), format!("{of}::default()", of = "Text"))
        }
        FieldForm::Enum(_) | FieldForm::Set(_) => {
            (format!("{of}({narrowed})"), format!("{of}({})", field.absent))
        }
    };
    match plan.header {
        Some(_) => {
            let since =
                if field.since > 0 { format!(" || version < {}", field.since) } else { String::new() };
            format!("if end < {}{since} {{ {absent} }} else {{ {value} }}", field.end())
        }
        None => value,
    }
}

/// What writes a field into `out`.
fn write(field: &PlanField) -> String {
    let PlanField { at, len, is_little, .. } = *field;
    let (name, plain) = (field.name.snake(), field.name.plain());
    let value = match field.form {
        FieldForm::Text(fill) => {
            return format!("self.{name}.write(&mut out[{at}..{}], {fill});", field.end());
        }
        FieldForm::Uint if field.is_narrow() => format!("fits(\"{plain}\", self.{name}.into(), {len})?"),
        FieldForm::Int if field.is_narrow() => {
            format!("fits_signed(\"{plain}\", self.{name}.into(), {len})?")
        }
        FieldForm::Uint | FieldForm::Int => format!("self.{name} as u64"),
        FieldForm::Float => format!("self.{name}.to_bits() as u64"),
        FieldForm::Bool => format!("self.{name} as u64"),
        FieldForm::Enum(_) | FieldForm::Set(_) if field.is_narrow() => {
            format!("fits(\"{plain}\", self.{name}.0.into(), {len})?")
        }
        FieldForm::Enum(_) | FieldForm::Set(_) => format!("self.{name}.0 as u64"),
    };
    format!("put(&mut out, {at}, {len}, {is_little}, {value});")
}

/// A place as the source has it.
fn tuple(place: NumberPlace) -> String {
    format!("({}, {}, {})", place.offset, place.len, place.is_little())
}

/// What reads a part from `rest`.
fn read_part(part: &PlanPart) -> String {
    let plain = part.name.plain();
    let value = match &part.form {
        PlanForm::Group(group) => {
            let (block, count) = (tuple(group.block_place), tuple(group.count_place));
            let (name, len) = (group.name.pascal(), group.header_len);
            format!(
                "group(\"{plain}\", rest, {len}, {block}, {count}, |entry, rest| {name}::read(entry, version, rest))?"
            )
        }
        PlanForm::Data { header_len, length } => {
            format!("data(\"{plain}\", rest, {header_len}, {})?.to_vec()", tuple(*length))
        }
    };
    match part.since {
        0 => value,
        since => format!("if version < {since} {{ Vec::new() }} else {{ {value} }}"),
    }
}

/// What appends a part to `whole`.
fn write_part(part: &PlanPart) -> String {
    let (plain, name) = (part.name.plain(), part.name.snake());
    match &part.form {
        PlanForm::Group(group) => format!(
            "put_head(\"{plain}\", whole, {}, &[({}, {}), ({}, self.{name}.len())])?;\nself.{name}.iter().try_for_each(|entry| entry.write(whole))?;",
            group.header_len,
            tuple(group.block_place),
            group.block_len,
            tuple(group.count_place),
        ),
        PlanForm::Data { header_len, length } => format!(
            "put_head(\"{plain}\", whole, {header_len}, &[({}, self.{name}.len())])?;\nwhole.extend_from_slice(&self.{name});",
            tuple(*length),
        ),
    }
}

/// The structure of a block.
fn declaration(
    code: &mut Code,
    plan: &SourcePlan,
    of: (&str, &str, &[String]),
    fields: &[PlanField],
    parts: &[PlanPart],
) {
    let (name, headline, left_out) = of;
    code.gap();
    code.lines(0, format!("/// {headline}"));
    for words in left_out {
        code.lines(0, format!("/// Without {words}."));
    }
    code.lines(0, format!("#[derive(Clone, PartialEq, Debug, Default)]\npub struct {name} {{"));
    for field in fields {
        code.lines(1, format!("/// {}\npub {}: {},", field.doc, field.name.snake(), type_name(plan, field)));
    }
    for part in parts {
        let of = match &part.form {
            PlanForm::Group(group) => group.name.pascal(),
            PlanForm::Data { .. } => "u8".into(),
        };
        code.lines(1, format!("/// {}\npub {}: Vec<{of}>,", part.doc, part.name.snake()));
    }
    code.lines(0, "}");
}

/// The structure of an entry, with what reads and writes it.
fn entry(code: &mut Code, plan: &SourcePlan, group: &PlanGroup) {
    let name = group.name.pascal();
    declaration(code, plan, (&name, &group.headline, &group.left_out), &group.fields, &group.parts);
    code.gap();
    code.lines(0, format!("#[allow(dead_code, clippy::unnecessary_cast)]\nimpl {name} {{"));
    code.lines(1, "fn read(payload: &[u8], version: u64, rest: &mut &[u8]) -> Result<Self, Fault> {");
    code.lines(2, "let (end, _, _) = (payload.len(), version, &rest);");
    code.lines(2, "let _ = end;\nOk(Self {");
    for field in &group.fields {
        code.lines(3, format!("{}: {},", field.name.snake(), read(plan, field)));
    }
    for part in &group.parts {
        code.lines(3, format!("{}: {},", part.name.snake(), read_part(part)));
    }
    code.lines(2, "})");
    code.lines(1, "}");
    code.gap();
    code.lines(1, "fn write(&self, whole: &mut Vec<u8>) -> Result<(), Fault> {");
    let is_empty = group.fields.is_empty();
    code.lines(2, format!("let {}out = [0; {}];", if is_empty { "" } else { "mut " }, group.block_len));
    for field in &group.fields {
        code.lines(2, write(field));
    }
    code.lines(2, "whole.extend_from_slice(&out);");
    for part in &group.parts {
        code.lines(2, write_part(part));
    }
    code.lines(2, "Ok(())");
    code.lines(1, "}");
    code.lines(0, "}");
}

fn structure(code: &mut Code, plan: &SourcePlan, message: &PlanMessage) {
    for group in groups(&message.parts) {
        entry(code, plan, group);
    }
    let name = message.name.pascal();
    let of = (&*name, &*message.headline(), &*message.left_out);
    declaration(code, plan, of, &message.fields, &message.parts);
    code.gap();
    code.lines(0, format!("#[allow(dead_code, clippy::unnecessary_cast)]\nimpl {name} {{"));
    let what = if message.parts.is_empty() { "" } else { ", while its groups and data are empty" };
    code.lines(1, format!("/// Bytes of the message{what}.\npub const LEN: usize = {};", message.len));
    code.gap();
    code.lines(1, "/// Whether a payload has its type.\npub fn matches(payload: &[u8]) -> bool {");
    match message.number {
        Some(number) => code.lines(2, format!("type_of(payload) == Some({number})")),
        None => code.lines(2, "let _ = payload;\ntrue"),
    }
    code.lines(1, "}");
    code.gap();
    code.lines(1, "/// The message in the bytes of a payload.\n///\n/// # Errors\n/// It is another one, ends too early, or has what a field cannot have.");
    code.lines(1, "pub fn decode(payload: &[u8]) -> Result<Self, Fault> {");
    code.lines(2, "if !Self::matches(payload) {\n    return Err(Fault { field: \"\", what: \"the payload has another type\" });\n}");
    if plan.header.is_some() {
        code.lines(
            2,
            if message.fields.is_empty() && message.parts.is_empty() {
                ""
            } else if message.has_later() {
                "let (end, version) = block_of(payload);"
            } else {
                "let (end, _) = block_of(payload);"
            },
        );
    } else {
        code.lines(2, format!("if payload.len() < {} {{\n    return Err(Fault {{ field: \"\", what: \"the payload ends too early\" }});\n}}", message.fixed_len));
    }
    if !message.parts.is_empty() {
        code.lines(2, "let (rest, _) = (&mut &payload[end..], version);");
    }
    code.lines(2, "Ok(Self {");
    for field in &message.fields {
        code.lines(3, format!("{}: {},", field.name.snake(), read(plan, field)));
    }
    for part in &message.parts {
        code.lines(3, format!("{}: {},", part.name.snake(), read_part(part)));
    }
    code.lines(1, "    })\n}");
    encode(code, message);
    code.lines(0, "}");
}

fn encode(code: &mut Code, message: &PlanMessage) {
    code.gap();
    code.lines(
        1,
        "/// The bytes of the message.\n///\n/// # Errors\n/// A number is too large for its field.",
    );
    let has_parts = !message.parts.is_empty();
    let of = if has_parts { "Vec<u8>" } else { "[u8; Self::LEN]" };
    code.lines(1, format!("pub fn encode(&self) -> Result<{of}, Fault> {{"));
    let is_empty = message.fields.is_empty() && message.constants.is_empty();
    let len = if has_parts { message.fixed_len.to_string() } else { "Self::LEN".into() };
    code.lines(2, format!("let {}out = [0; {len}];", if is_empty { "" } else { "mut " }));
    for field in &message.fields {
        code.lines(2, write(field));
    }
    for (place, number) in &message.constants {
        let is_little = place.is_little();
        code.lines(2, format!("put(&mut out, {}, {}, {is_little}, {number});", place.offset, place.len));
    }
    if has_parts {
        code.lines(2, "let mut bytes = out.to_vec();\nlet whole = &mut bytes;");
        for part in &message.parts {
            code.lines(2, write_part(part));
        }
    }
    code.lines(1, format!("    Ok({})\n}}", if has_parts { "bytes" } else { "out" }));
}

/// The enum of all messages.
fn any(code: &mut Code, plan: &SourcePlan) {
    code.gap();
    code.lines(0, "/// Any message of the schema.\n#[derive(Clone, PartialEq, Debug)]\npub enum Message {");
    for message in &plan.messages {
        let name = message.name.pascal();
        code.lines(1, format!("{name}({name}),"));
    }
    code.lines(0, "}");
    code.gap();
    code.lines(0, "#[allow(dead_code)]\nimpl Message {");
    code.lines(1, "/// The message in the bytes of a payload.\n///\n/// # Errors\n/// It is none of the schema, ends too early, or has what a field cannot have.");
    code.lines(1, "pub fn decode(payload: &[u8]) -> Result<Self, Fault> {\n    match type_of(payload) {");
    for message in &plan.messages {
        let name = message.name.pascal();
        let number = message.number.map_or_else(|| "_".into(), |number| format!("Some({number})"));
        code.lines(3, format!("{number} => {name}::decode(payload).map(Self::{name}),"));
    }
    if plan.messages.iter().all(|message| message.number.is_some()) {
        code.lines(3, "_ => Err(Fault { field: \"\", what: \"the payload is no message of the schema\" }),");
    }
    code.lines(1, "    }\n}");
    code.gap();
    code.lines(
        1,
        "/// The bytes of the message.\n///\n/// # Errors\n/// A number is too large for its field.",
    );
    code.lines(1, "pub fn encode(&self) -> Result<Vec<u8>, Fault> {\n    match self {");
    for message in &plan.messages {
        let as_it_is = if message.parts.is_empty() { ".map(|bytes| bytes.to_vec())" } else { "" };
        code.lines(3, format!("Self::{}(it) => it.encode(){as_it_is},", message.name.pascal()));
    }
    code.lines(1, "    }\n}");
    code.lines(0, "}");
}
