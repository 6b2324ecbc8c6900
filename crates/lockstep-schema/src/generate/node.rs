//! A module of Node.

use super::Code;
use super::plan::{FieldForm, PlanField, PlanMessage, PlanNames, SourcePlan};
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

fn structure(code: &mut Code, plan: &SourcePlan, message: &PlanMessage) {
    let name = message.name.pascal();
    let left_out: String = message.left_out.iter().map(|words| format!("\n * Without {words}.")).collect();
    code.gap();
    code.lines(0, format!("/**\n * {}{left_out}\n */\nclass {name} {{", message.headline()));
    code.lines(1, "/** With these fields; those that are left out are 0, false or empty. */\nconstructor(fields = {}) {");
    for field in &message.fields {
        code.lines(
            2,
            format!(
                "/** {} */\nthis.{name} = fields.{name} ?? {};",
                field.doc,
                default(field),
                name = field.name.camel()
            ),
        );
    }
    code.lines(1, "}");
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
            if let Some((place, _)) = header.version.filter(|_| message.has_later()) {
                code.lines(2, format!("const version = {};", number(place)));
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
    code.lines(2, "return it;");
    code.lines(1, "}");
}

fn encode(code: &mut Code, message: &PlanMessage) {
    code.gap();
    code.lines(
        1,
        "/** The bytes of the message; a RangeError if a value does not fit into its field. */\nencode() {",
    );
    code.lines(2, format!("const out = Buffer.alloc({});", message.len));
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
    code.lines(1, "    return out;\n}");
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
    code.lines(0, format!("module.exports = {{ {names}{all}, decode }};"));
}
