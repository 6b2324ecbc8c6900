//! A module of Python.

use super::Code;
use super::plan::{
    FieldForm, PlanField, PlanForm, PlanGroup, PlanMessage, PlanNames, PlanPart, SourcePlan, groups,
};
use crate::NumberPlace;

const SUPPORT: &str = include_str!("support/python.txt");

/// The source.
pub fn source(plan: &SourcePlan) -> String {
    let mut code = Code::begun("#", "python", plan);
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

fn order(is_little: bool) -> &'static str {
    if is_little { "little" } else { "big" }
}

fn number(place: NumberPlace) -> String {
    let order = order(place.is_little());
    format!("int.from_bytes(payload[{}:{}], \"{order}\")", place.offset, place.offset + place.len)
}

fn type_of(code: &mut Code, plan: &SourcePlan) {
    let place = plan.place;
    code.lines(0, "\n\ndef _type_of(payload: bytes) -> int | None:");
    let len = plan.type_end();
    code.lines(1, format!("if len(payload) < {len}:\n    return None"));
    if let Some((place, id)) = plan.header.and_then(|header| header.schema) {
        code.lines(1, format!("if {} != {id}:\n    return None", number(place)));
    }
    code.lines(1, format!("return {}", number(place)));
}

fn named(code: &mut Code, names: &PlanNames) {
    code.lines(0, format!("\n\nclass {}:", names.name.pascal()));
    code.lines(1, if names.is_set { "\"\"\"Bits.\"\"\"" } else { "\"\"\"Numbers.\"\"\"" });
    code.gap();
    for (number, value) in &names.values {
        code.lines(1, format!("{} = {number}", value.upper()));
    }
}

/// The type of a field in Python, and its value where nothing was said.
fn type_of_field(field: &PlanField) -> (&'static str, &'static str) {
    match field.form {
        FieldForm::Uint | FieldForm::Int | FieldForm::Enum(_) | FieldForm::Set(_) => ("int", "0"),
        FieldForm::Float => ("float", "0.0"),
        FieldForm::Bool => ("bool", "False"),
        FieldForm::Text(_) => ("str", "\"\""),
    }
}

fn read(plan: &SourcePlan, field: &PlanField) -> String {
    let PlanField { at, len, is_little, .. } = *field;
    let plain = field.name.plain();
    let (order, name, end) = (order(is_little), field.name.snake(), field.end());
    let arrow = if is_little { '<' } else { '>' };
    let letter = if len == 4 { 'f' } else { 'd' };
    let (value, absent) = match field.form {
        FieldForm::Uint | FieldForm::Enum(_) | FieldForm::Set(_) => {
            (format!("int.from_bytes(payload[{at}:{end}], \"{order}\")"), field.absent.to_string())
        }
        FieldForm::Int => (
            format!("int.from_bytes(payload[{at}:{end}], \"{order}\", signed=True)"),
            field.absent_signed().to_string(),
        ),
        FieldForm::Float => {
            (format!("struct.unpack_from(\"{arrow}{letter}\", payload, {at})[0]"), "math.nan".into())
        }
        FieldForm::Bool => (format!("_flag(\"{plain}\", payload[{at}])"), "False".into()),
        FieldForm::Text(fill) => (format!("_text(\"{plain}\", payload[{at}:{end}], {fill})"), "\"\"".into()),
    };
    match plan.header {
        Some(_) => {
            let since =
                if field.since > 0 { format!(" or version < {}", field.since) } else { String::new() };
            format!("{name}={absent} if end < {end}{since} else {value},")
        }
        None => format!("{name}={value},"),
    }
}

fn write(field: &PlanField) -> String {
    let PlanField { at, len, is_little, .. } = *field;
    let plain = field.name.plain();
    let (order, name, end) = (order(is_little), field.name.snake(), field.end());
    let arrow = if is_little { '<' } else { '>' };
    let letter = if len == 4 { 'f' } else { 'd' };
    match field.form {
        FieldForm::Uint | FieldForm::Enum(_) | FieldForm::Set(_) => {
            format!("out[{at}:{end}] = _number(\"{plain}\", self.{name}, {len}, \"{order}\", False)")
        }
        FieldForm::Int => {
            format!("out[{at}:{end}] = _number(\"{plain}\", self.{name}, {len}, \"{order}\", True)")
        }
        FieldForm::Float => format!("struct.pack_into(\"{arrow}{letter}\", out, {at}, self.{name})"),
        FieldForm::Bool => format!("out[{at}] = 1 if self.{name} else 0"),
        FieldForm::Text(fill) => {
            format!("out[{at}:{end}] = _filled(\"{plain}\", self.{name}, {len}, {fill})")
        }
    }
}

fn tuple(place: NumberPlace) -> String {
    format!("({}, {}, \"{}\")", place.offset, place.len, order(place.is_little()))
}

fn read_part(part: &PlanPart) -> String {
    let (plain, name) = (part.name.plain(), part.name.snake());
    let (value, empty) = match &part.form {
        PlanForm::Group(group) => {
            let (block, count) = (tuple(group.block_place), tuple(group.count_place));
            let (of, len) = (group.name.pascal(), group.header_len);
            let read = format!("lambda entry: {of}._read(entry, version, rest)");
            (format!("_group(\"{plain}\", rest, {len}, {block}, {count}, {read})"), "[]")
        }
        PlanForm::Data { header_len, length } => {
            (format!("_data(\"{plain}\", rest, {header_len}, {})", tuple(*length)), "b\"\"")
        }
    };
    match part.since {
        0 => format!("{name}={value},"),
        since => format!("{name}={empty} if version < {since} else {value},"),
    }
}

fn write_part(part: &PlanPart) -> String {
    let (plain, name) = (part.name.plain(), part.name.snake());
    match &part.form {
        PlanForm::Group(group) => format!(
            "out += _head(\"{plain}\", {}, [({}, {}), ({}, len(self.{name}))])\nfor entry in self.{name}:\n    out += entry._bytes()",
            group.header_len,
            tuple(group.block_place),
            group.block_len,
            tuple(group.count_place),
        ),
        PlanForm::Data { header_len, length } => format!(
            "out += _head(\"{plain}\", {header_len}, [({}, len(self.{name}))]) + bytes(self.{name})",
            tuple(*length),
        ),
    }
}

/// The class of a block, as far as its fields.
fn declaration(code: &mut Code, of: (&str, &str, &[String]), fields: &[PlanField], parts: &[PlanPart]) {
    let (name, headline, left_out) = of;
    code.lines(0, format!("\n\n@dataclass(slots=True)\nclass {name}:"));
    let words: String = left_out.iter().map(|words| format!("\n\nWithout {words}.")).collect();
    code.lines(1, format!("\"\"\"{headline}{words}\"\"\""));
    code.gap();
    for field in fields {
        let (of, default) = type_of_field(field);
        code.lines(1, format!("{}: {of} = {default}\n\"\"\"{}\"\"\"", field.name.snake(), field.doc));
    }
    for part in parts {
        let declared = match &part.form {
            PlanForm::Group(group) => format!("list[{}] = _field(default_factory=list)", group.name.pascal()),
            PlanForm::Data { .. } => "bytes = b\"\"".into(),
        };
        code.lines(1, format!("{}: {declared}\n\"\"\"{}\"\"\"", part.name.snake(), part.doc));
    }
}

/// The class of an entry, with what reads and writes it.
fn entry(code: &mut Code, plan: &SourcePlan, group: &PlanGroup) {
    let name = group.name.pascal();
    declaration(code, (&name, &group.headline, &group.left_out), &group.fields, &group.parts);
    code.gap();
    code.lines(
        1,
        format!("@classmethod\ndef _read(cls, payload: bytes, version: int, rest: _Rest) -> \"{name}\":"),
    );
    code.lines(2, "end = len(payload)\nreturn cls(");
    for field in &group.fields {
        code.lines(3, read(plan, field));
    }
    for part in &group.parts {
        code.lines(3, read_part(part));
    }
    code.lines(2, ")");
    code.gap();
    code.lines(1, "def _bytes(self) -> bytes:");
    code.lines(2, format!("out = bytearray({})", group.block_len));
    for field in &group.fields {
        code.lines(2, write(field));
    }
    for part in &group.parts {
        code.lines(2, write_part(part));
    }
    code.lines(2, "return bytes(out)");
}

fn structure(code: &mut Code, plan: &SourcePlan, message: &PlanMessage) {
    for group in groups(&message.parts) {
        entry(code, plan, group);
    }
    let name = message.name.pascal();
    let of = (&*name, &*message.headline(), &*message.left_out);
    declaration(code, of, &message.fields, &message.parts);
    code.gap();
    code.lines(1, "@staticmethod\ndef matches(payload: bytes) -> bool:\n    \"\"\"Whether a payload has its type.\"\"\"");
    match message.number {
        Some(number) => code.lines(2, format!("return _type_of(payload) == {number}")),
        None => code.lines(2, "return True"),
    }
    code.gap();
    code.lines(1, format!("@classmethod\ndef decode(cls, payload: bytes) -> \"{name}\":\n    \"\"\"The message in the bytes of a payload; ValueError if there is none.\"\"\""));
    code.lines(2, "payload = bytes(payload)\nif not cls.matches(payload):\n    raise ValueError(\"the payload has another type\")");
    match plan.header {
        Some(header) => {
            code.lines(2, format!("end = min(len(payload), {} + {})", header.len, number(header.block_len)));
            if message.has_later() {
                let version =
                    header.version.map_or_else(|| (u64::MAX).to_string(), |(place, _)| number(place));
                code.lines(2, format!("version = {version}"));
            }
        }
        None => code.lines(
            2,
            format!(
                "if len(payload) < {}:\n    raise ValueError(\"the payload ends too early\")",
                message.fixed_len
            ),
        ),
    }
    if !message.parts.is_empty() {
        code.lines(2, "rest = _Rest(payload, end)");
    }
    code.lines(2, "return cls(");
    for field in &message.fields {
        code.lines(3, read(plan, field));
    }
    for part in &message.parts {
        code.lines(3, read_part(part));
    }
    code.lines(2, ")");
    code.gap();
    code.lines(1, "def encode(self) -> bytes:\n    \"\"\"The bytes of the message; ValueError if a value does not fit into its field.\"\"\"");
    let len = if message.parts.is_empty() { message.len } else { message.fixed_len };
    code.lines(2, format!("out = bytearray({len})"));
    for field in &message.fields {
        code.lines(2, write(field));
    }
    for (place, number) in &message.constants {
        let (at, len) = (place.offset, place.len);
        let order = order(place.is_little());
        code.lines(2, format!("out[{at}:{}] = ({number}).to_bytes({len}, \"{order}\")", at + len));
    }
    for part in &message.parts {
        code.lines(2, write_part(part));
    }
    code.lines(2, "return bytes(out)");
}

fn any(code: &mut Code, plan: &SourcePlan) {
    let names: Vec<_> = plan.messages.iter().map(|message| message.name.pascal()).collect();
    code.lines(0, format!("\n\nMessage = {}", names.join(" | ")));
    code.lines(0, "\n\ndef decode(payload: bytes) -> Message:\n    \"\"\"The message in the bytes of a payload; ValueError if there is none.\"\"\"");
    code.lines(
        1,
        format!(
            "for message in ({},):\n    if message.matches(payload):\n        return message.decode(payload)",
            names.join(", ")
        ),
    );
    code.lines(1, "raise ValueError(\"the payload is no message of the schema\")");
}
