//! A module of Node.

use super::Code;
use super::plan::{
    FieldForm, PlanField, PlanForm, PlanGroup, PlanMessage, PlanNames, PlanPart, SourcePlan, groups,
};
use crate::NumberPlace;

const SUPPORT: &str = include_str!("support/node.txt");
/// Longest number that is a `Number`: JavaScript's have 53 bits.
const NUMBER_LEN_MAX: usize = 6;

/// The source.
pub fn source(plan: &SourcePlan) -> String {
    let mut code = Code::begun("//", "node", plan);
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

fn number(place: NumberPlace) -> String {
    let is_little = place.is_little();
    format!("bits(payload, {}, {}, {is_little})", place.offset, place.len)
}

fn type_of(code: &mut Code, plan: &SourcePlan) {
    let place = plan.place;
    code.gap();
    code.lines(0, "function hasType(payload, wanted) {");
    let len = plan.type_end();
    let schema = plan.header.and_then(|header| header.schema);
    let is_ours = schema.map(|(place, id)| format!(" && {} === {id}n", number(place))).unwrap_or_default();
    code.lines(1, format!("return payload.length >= {len}{is_ours} && {} === wanted;", number(place)));
    code.lines(0, "}");
}

/// A literal of a field's number.
fn literal(len: usize, number: impl std::fmt::Display) -> String {
    format!("{number}{}", if len > NUMBER_LEN_MAX { "n" } else { "" })
}

fn named(code: &mut Code, names: &PlanNames) {
    let what = if names.is_set { "Bits." } else { "Numbers." };
    code.gap();
    code.lines(0, format!("/** {what} */\nconst {} = Object.freeze({{", names.name.pascal()));
    for (number, value) in &names.values {
        let literal = literal(names.len, number);
        code.lines(1, format!("{}: {literal},", value.camel()));
    }
    code.lines(0, "});");
}

fn read(plan: &SourcePlan, field: &PlanField) -> String {
    let PlanField { at, len, is_little, .. } = *field;
    let plain = field.name.plain();
    let name = field.name.camel();
    let shown = |bits: String| if len > NUMBER_LEN_MAX { bits } else { format!("Number({bits})") };
    let bits = format!("bits(payload, {at}, {len}, {is_little})");
    let suffix = if is_little { "LE" } else { "BE" };
    let of = if len == 4 { "Float" } else { "Double" };
    let (value, absent) = match field.form {
        FieldForm::Uint | FieldForm::Enum(_) | FieldForm::Set(_) => (shown(bits), literal(len, field.absent)),
        FieldForm::Int => {
            (shown(format!("BigInt.asIntN({}, {bits})", 8 * len)), literal(len, field.absent_signed()))
        }
        FieldForm::Float => (format!("payload.read{of}{suffix}({at})"), "NaN".into()),
        FieldForm::Bool => (format!("flag(payload[{at}], \"{plain}\")"), "false".into()),
        FieldForm::Text(fill) => {
            (format!("text(payload.subarray({at}, {}), {fill}, \"{plain}\")", field.end()), "\"\"".into())
        }
    };
    match plan.header {
        Some(_) => {
            let since =
                if field.since > 0 { format!(" || version < {}n", field.since) } else { String::new() };
            format!("it.{name} = end < {}n{since} ? {absent} : {value};", field.end())
        }
        None => format!("it.{name} = {value};"),
    }
}

fn write(field: &PlanField) -> String {
    let PlanField { at, len, is_little, .. } = *field;
    let plain = field.name.plain();
    let name = field.name.camel();
    let suffix = if is_little { "LE" } else { "BE" };
    let of = if len == 4 { "Float" } else { "Double" };
    match field.form {
        FieldForm::Uint | FieldForm::Enum(_) | FieldForm::Set(_) => {
            format!("put(out, {at}, {len}, {is_little}, false, this.{name}, \"{plain}\");")
        }
        FieldForm::Int => format!("put(out, {at}, {len}, {is_little}, true, this.{name}, \"{plain}\");"),
        FieldForm::Float => format!("out.write{of}{suffix}(this.{name}, {at});"),
        FieldForm::Bool => format!("out[{at}] = this.{name} ? 1 : 0;"),
        FieldForm::Text(fill) => {
            format!("putText(out.subarray({at}, {}), {fill}, this.{name}, \"{plain}\");", field.end())
        }
    }
}

/// The value of a field where nothing was said.
fn default(field: &PlanField) -> String {
    match field.form {
        FieldForm::Bool => "false".into(),
        FieldForm::Float => "0".into(),
        FieldForm::Text(_) => "\"\"".into(),
        _ => literal(field.len, 0),
    }
}

fn place_of(place: NumberPlace) -> String {
    format!("[{}, {}, {}]", place.offset, place.len, place.is_little())
}

fn read_part(part: &PlanPart) -> String {
    let (plain, name) = (part.name.plain(), part.name.camel());
    let value = match &part.form {
        PlanForm::Group(group) => format!(
            "group(\"{plain}\", rest, {}, {}, {}, (entry) => {}.read(entry, version, rest))",
            group.header_len,
            place_of(group.block_place),
            place_of(group.count_place),
            group.name.pascal(),
        ),
        PlanForm::Data { header_len, length } => {
            format!("data(\"{plain}\", rest, {header_len}, {})", place_of(*length))
        }
    };
    match part.since {
        0 => format!("it.{name} = {value};"),
        since => format!("if (version >= {since}n) {{\n    it.{name} = {value};\n}}"),
    }
}

fn write_part(part: &PlanPart) -> String {
    let (plain, name) = (part.name.plain(), part.name.camel());
    match &part.form {
        PlanForm::Group(group) => format!(
            "whole.push(head(\"{plain}\", {}, [[{}, {}], [{}, this.{name}.length]]));\nfor (const entry of this.{name}) {{\n    entry.write(whole);\n}}",
            group.header_len,
            place_of(group.block_place),
            group.block_len,
            place_of(group.count_place),
        ),
        PlanForm::Data { header_len, length } => format!(
            "whole.push(head(\"{plain}\", {header_len}, [[{}, this.{name}.length]]), this.{name});",
            place_of(*length),
        ),
    }
}

/// The begin of a class: its constructor.
fn declaration(code: &mut Code, of: (&str, &str, &[String]), fields: &[PlanField], parts: &[PlanPart]) {
    let (name, headline, left_out) = of;
    let left_out: String = left_out.iter().map(|words| format!("\n * Without {words}.")).collect();
    code.gap();
    code.lines(0, format!("/**\n * {headline}{left_out}\n */\nclass {name} {{"));
    code.lines(1, "/** With these fields; those that are left out are 0, false or empty. */\nconstructor(fields = {}) {");
    let of_field = |field: &PlanField| (field.name.camel(), field.doc.clone(), default(field));
    let of_part = |part: &PlanPart| {
        let empty = match part.form {
            PlanForm::Group(_) => "[]",
            PlanForm::Data { .. } => "Buffer.alloc(0)",
        };
        (part.name.camel(), part.doc.clone(), empty.into())
    };
    for (name, doc, default) in fields.iter().map(of_field).chain(parts.iter().map(of_part)) {
        code.lines(2, format!("/** {doc} */\nthis.{name} = fields.{name} ?? {default};"));
    }
    code.lines(1, "}");
}

/// The class of an entry, with what reads and writes it.
fn entry(code: &mut Code, plan: &SourcePlan, group: &PlanGroup) {
    let name = group.name.pascal();
    declaration(code, (&name, &group.headline, &group.left_out), &group.fields, &group.parts);
    code.gap();
    code.lines(1, "static read(payload, version, rest) {");
    code.lines(2, format!("const end = BigInt(payload.length);\nconst it = new {name}();"));
    for field in &group.fields {
        code.lines(2, read(plan, field));
    }
    for part in &group.parts {
        code.lines(2, read_part(part));
    }
    code.lines(2, "return it;");
    code.lines(1, "}");
    code.gap();
    code.lines(1, "write(whole) {");
    code.lines(2, format!("const out = Buffer.alloc({});", group.block_len));
    for field in &group.fields {
        code.lines(2, write(field));
    }
    code.lines(2, "whole.push(out);");
    for part in &group.parts {
        code.lines(2, write_part(part));
    }
    code.lines(1, "}");
    code.lines(0, "}");
}

fn structure(code: &mut Code, plan: &SourcePlan, message: &PlanMessage) {
    for group in groups(&message.parts) {
        entry(code, plan, group);
    }
    let name = message.name.pascal();
    let of = (&*name, &*message.headline(), &*message.left_out);
    declaration(code, of, &message.fields, &message.parts);
    code.gap();
    code.lines(1, "/** Whether a payload has its type. */\nstatic matches(payload) {");
    match message.number {
        Some(number) => code.lines(2, format!("return hasType(payload, {number}n);")),
        None => code.lines(2, "return true;"),
    }
    code.lines(1, "}");
    decode(code, plan, message);
    encode(code, message);
    code.lines(0, "}");
}

fn decode(code: &mut Code, plan: &SourcePlan, message: &PlanMessage) {
    let name = message.name.pascal();
    code.gap();
    code.lines(
        1,
        "/** The message in the bytes of a payload; an Error if there is none. */\nstatic decode(bytes) {",
    );
    code.lines(2, format!("const payload = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);\nif (!{name}.matches(payload)) {{\n    throw new RangeError(\"the payload has another type\");\n}}"));
    match plan.header {
        Some(header) => {
            code.lines(2, format!("const block = {}n + {};\nconst end = block < BigInt(payload.length) ? block : BigInt(payload.length);", header.len, number(header.block_len)));
            if message.has_later() {
                let version =
                    header.version.map_or_else(|| format!("{}n", u64::MAX), |(place, _)| number(place));
                code.lines(2, format!("const version = {version};"));
            }
        }
        None => code.lines(
            2,
            format!(
                "if (payload.length < {}) {{\n    throw new RangeError(\"the payload ends too early\");\n}}",
                message.fixed_len
            ),
        ),
    }
    code.lines(2, format!("const it = new {name}();"));
    for field in &message.fields {
        code.lines(2, read(plan, field));
    }
    if !message.parts.is_empty() {
        code.lines(2, "const rest = { payload, at: Number(end) };");
    }
    for part in &message.parts {
        code.lines(2, read_part(part));
    }
    code.lines(2, "return it;");
    code.lines(1, "}");
}

fn encode(code: &mut Code, message: &PlanMessage) {
    code.gap();
    code.lines(
        1,
        "/** The bytes of the message; a RangeError if a value does not fit into its field. */\nencode() {",
    );
    let len = if message.parts.is_empty() { message.len } else { message.fixed_len };
    code.lines(2, format!("const out = Buffer.alloc({len});"));
    for field in &message.fields {
        code.lines(2, write(field));
    }
    for (place, number) in &message.constants {
        let is_little = place.is_little();
        code.lines(
            2,
            format!("put(out, {}, {}, {is_little}, false, {number}n, \"\");", place.offset, place.len),
        );
    }
    if message.parts.is_empty() {
        code.lines(2, "return out;");
    } else {
        code.lines(2, "const whole = [out];");
        for part in &message.parts {
            code.lines(2, write_part(part));
        }
        code.lines(2, "return Buffer.concat(whole);");
    }
    code.lines(1, "}");
}

fn any(code: &mut Code, plan: &SourcePlan) {
    let messages: Vec<_> = plan.messages.iter().map(|message| message.name.pascal()).collect();
    let all = messages.join(", ");
    code.gap();
    code.lines(0, "/** The message in the bytes of a payload; an Error if there is none. */\nfunction decode(payload) {");
    code.lines(1, format!("for (const message of [{all}]) {{\n    if (message.matches(payload)) {{\n        return message.decode(payload);\n    }}\n}}"));
    code.lines(1, "throw new RangeError(\"the payload is no message of the schema\");");
    code.lines(0, "}");
    code.gap();
    let names: String = plan.names.iter().map(|names| names.name.pascal() + ", ").collect();
    let entries = plan.messages.iter().flat_map(|message| groups(&message.parts));
    let entries: String = entries.map(|group| group.name.pascal() + ", ").collect();
    code.lines(0, format!("module.exports = {{ {names}{entries}{all}, decode }};"));
}
