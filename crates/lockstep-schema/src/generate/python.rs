//! A module of Python.

use super::Code;
use super::plan::{FieldForm, PlanField, PlanMessage, PlanNames, SourcePlan};
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

fn structure(code: &mut Code, plan: &SourcePlan, message: &PlanMessage) {
    let name = message.name.pascal();
    code.lines(0, format!("\n\n@dataclass(slots=True)\nclass {name}:"));
    let words: String = message.left_out.iter().map(|words| format!("\n\nWithout {words}.")).collect();
    code.lines(1, format!("\"\"\"{}{words}\"\"\"", message.headline()));
    code.gap();
    for field in &message.fields {
        let (of, default) = type_of_field(field);
        code.lines(1, format!("{}: {of} = {default}\n\"\"\"{}\"\"\"", field.name.snake(), field.doc));
    }
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
            if let Some((place, _)) = header.version.filter(|_| message.has_later()) {
                code.lines(2, format!("version = {}", number(place)));
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
    code.lines(2, "return cls(");
    for field in &message.fields {
        code.lines(3, read(plan, field));
    }
    code.lines(2, ")");
    code.gap();
    code.lines(1, "def encode(self) -> bytes:\n    \"\"\"The bytes of the message; ValueError if a value does not fit into its field.\"\"\"");
    code.lines(2, format!("out = bytearray({})", message.len));
    for field in &message.fields {
        code.lines(2, write(field));
    }
    for (place, number) in &message.constants {
        let (at, len) = (place.offset, place.len);
        let order = order(place.is_little());
        code.lines(2, format!("out[{at}:{}] = ({number}).to_bytes({len}, \"{order}\")", at + len));
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
