//! A class of Java.

use super::Code;
use super::names::Name;
use super::plan::{
    FieldForm, PlanField, PlanForm, PlanGroup, PlanMessage, PlanNames, PlanPart, SourcePlan, groups,
};
use crate::NumberPlace;

const SUPPORT: &str = include_str!("support/java.txt");

/// The class of a name, without the package before it.
pub fn class_of(name: &str) -> String {
    let class = name.rsplit('.').next().unwrap_or(name);
    if class.starts_with(char::is_uppercase) { class.to_owned() } else { Name::of(class).pascal() }
}

/// The source: a class with a class for each message; what stands before the last point of the name is the
/// package.
pub fn source(plan: &SourcePlan, name: &str) -> String {
    let (package, class) = name.rsplit_once('.').unwrap_or(("", name));
    let class =
        if class.starts_with(char::is_uppercase) { class.to_owned() } else { Name::of(class).pascal() };
    let mut code = Code::begun("//", "java", plan);
    if !package.is_empty() {
        code.lines(0, format!("package {package};\n"));
    }
    code.lines(0, "import java.io.ByteArrayOutputStream;\nimport java.nio.ByteBuffer;\nimport java.nio.charset.StandardCharsets;\nimport java.util.ArrayList;\nimport java.util.List;\nimport java.util.function.Function;\n");
    code.lines(
        0,
        format!("/** The messages of the schema '{}'. */\npublic final class {class} {{", plan.label),
    );
    code.lines(1, format!("private {class}() {{}}"));
    code.text(SUPPORT);
    type_of(&mut code, plan);
    for names in &plan.names {
        named(&mut code, names);
    }
    for message in &plan.messages {
        structure(&mut code, plan, message);
    }
    any(&mut code, plan);
    code.lines(0, "}");
    code.0
}

fn number(place: NumberPlace) -> String {
    let is_little = place.is_little();
    format!("number(payload, {}, {}, {is_little})", place.offset, place.len)
}

fn literal(number: u64) -> String {
    format!("{}L", number as i64)
}

fn type_of(code: &mut Code, plan: &SourcePlan) {
    let place = plan.place;
    code.gap();
    code.lines(1, "private static boolean hasType(ByteBuffer payload, long type) {");
    let len = plan.type_end();
    let is_other = plan.header.and_then(|header| header.schema);
    let is_ours =
        is_other.map(|(place, id)| format!(" && {} == {}", number(place), literal(id))).unwrap_or_default();
    code.lines(2, format!("return payload.remaining() >= {len}{is_ours} && {} == type;", number(place)));
    code.lines(1, "}");
}

fn named(code: &mut Code, names: &PlanNames) {
    let of = if names.width() < 4 { "int" } else { "long" };
    code.gap();
    code.lines(
        1,
        format!(
            "/** {} */\npublic static final class {} {{",
            if names.is_set { "Bits." } else { "Numbers." },
            names.name.pascal()
        ),
    );
    code.lines(2, format!("private {}() {{}}", names.name.pascal()));
    for (number, value) in &names.values {
        let number = if of == "int" { number.to_string() } else { literal(*number) };
        code.lines(
            2,
            format!("\n/** `{}`. */\npublic static final {of} {} = {number};", value.snake(), value.upper()),
        );
    }
    code.lines(1, "}");
}

fn type_name(field: &PlanField) -> &'static str {
    match field.form {
        FieldForm::Uint if field.len < 4 => "int",
        FieldForm::Enum(_) | FieldForm::Set(_) if field.width() < 4 => "int",
        FieldForm::Int if field.len <= 4 => "int",
        FieldForm::Uint | FieldForm::Int | FieldForm::Enum(_) | FieldForm::Set(_) => "long",
        FieldForm::Float if field.len == 4 => "float",
        FieldForm::Float => "double",
        FieldForm::Bool => "boolean",
        FieldForm::Text(_) => "String",
    }
}

fn read(plan: &SourcePlan, field: &PlanField) -> String {
    let PlanField { at, len, is_little, .. } = *field;
    let plain = field.name.plain();
    let name = field.name.camel();
    let cast = if type_name(field) == "int" { "(int) " } else { "" };
    let number = format!("number(payload, {at}, {len}, {is_little})");
    let (value, absent) = match field.form {
        FieldForm::Uint | FieldForm::Enum(_) | FieldForm::Set(_) => {
            (format!("{cast}{number}"), format!("{cast}{}", literal(field.absent)))
        }
        FieldForm::Int => (
            format!("{cast}withSign({number}, {len})"),
            format!("{cast}{}", literal(field.absent_signed() as u64)),
        ),
        FieldForm::Float if len == 4 => (format!("Float.intBitsToFloat((int) {number})"), "Float.NaN".into()),
        FieldForm::Float => (format!("Double.longBitsToDouble({number})"), "Double.NaN".into()),
        FieldForm::Bool => (format!("flag(payload, {at}, \"{plain}\")"), "false".into()),
        FieldForm::Text(fill) => (format!("text(payload, {at}, {len}, {fill}, \"{plain}\")"), "\"\"".into()),
    };
    match plan.header {
        Some(_) => {
            let since = if field.since > 0 {
                format!(" || version < {}", literal(field.since))
            } else {
                String::new()
            };
            format!("it.{name} = end < {}{since} ? {absent} : {value};", field.end())
        }
        None => format!("it.{name} = {value};"),
    }
}

fn write(field: &PlanField) -> String {
    let PlanField { at, len, is_little, .. } = *field;
    let plain = field.name.plain();
    let name = field.name.camel();
    let value = match field.form {
        FieldForm::Uint | FieldForm::Enum(_) | FieldForm::Set(_) if len < 8 => {
            format!("fits({name}, {len}, \"{plain}\")")
        }
        FieldForm::Int if len < 8 => format!("fitsWithSign({name}, {len}, \"{plain}\")"),
        FieldForm::Float if len == 4 => format!("Float.floatToRawIntBits({name})"),
        FieldForm::Float => format!("Double.doubleToRawLongBits({name})"),
        FieldForm::Bool => format!("{name} ? 1 : 0"),
        FieldForm::Text(fill) => return format!("putText(out, {at}, {len}, {fill}, {name}, \"{plain}\");"),
        _ => name,
    };
    format!("put(out, {at}, {len}, {is_little}, {value});")
}

fn place_of(place: NumberPlace) -> String {
    format!("new Place({}, {}, {})", place.offset, place.len, place.is_little())
}

fn read_part(part: &PlanPart) -> String {
    let (plain, name) = (part.name.plain(), part.name.camel());
    let (value, empty) = match &part.form {
        PlanForm::Group(group) => {
            let (of, len) = (group.name.pascal(), group.header_len);
            let (block, count) = (place_of(group.block_place), place_of(group.count_place));
            let read = format!("entry -> {of}.read(entry, version, rest)");
            (format!("group(\"{plain}\", rest, {len}, {block}, {count}, {read})"), "new ArrayList<>()")
        }
        PlanForm::Data { header_len, length } => {
            (format!("data(\"{plain}\", rest, {header_len}, {})", place_of(*length)), "new byte[0]")
        }
    };
    match part.since {
        0 => format!("it.{name} = {value};"),
        since => format!("it.{name} = version < {} ? {empty} : {value};", literal(since)),
    }
}

fn write_part(part: &PlanPart) -> String {
    let (plain, name) = (part.name.plain(), part.name.camel());
    match &part.form {
        PlanForm::Group(group) => format!(
            "putHead(\"{plain}\", whole, {}, {}, {}, {}, {name}.size());\nfor ({} entry : {name}) {{\n    entry.write(whole);\n}}",
            group.header_len,
            place_of(group.block_place),
            group.block_len,
            place_of(group.count_place),
            group.name.pascal(),
        ),
        PlanForm::Data { header_len, length } => {
            let place = place_of(*length);
            format!(
                "putHead(\"{plain}\", whole, {header_len}, null, 0, {place}, {name}.length);\nwhole.writeBytes({name});"
            )
        }
    }
}

fn declarations(code: &mut Code, fields: &[PlanField], parts: &[PlanPart]) {
    for field in fields {
        let is_text = matches!(field.form, FieldForm::Text(_));
        let default = if is_text { " = \"\"" } else { "" };
        code.lines(
            2,
            format!("\n/** {} */\npublic {} {}{default};", field.doc, type_name(field), field.name.camel()),
        );
    }
    for part in parts {
        let (of, empty) = match &part.form {
            PlanForm::Group(group) => (format!("List<{}>", group.name.pascal()), "new ArrayList<>()"),
            PlanForm::Data { .. } => ("byte[]".into(), "{}"),
        };
        code.lines(2, format!("\n/** {} */\npublic {of} {} = {empty};", part.doc, part.name.camel()));
    }
}

/// The class of an entry, with what reads and writes it.
fn entry(code: &mut Code, plan: &SourcePlan, group: &PlanGroup) {
    let name = group.name.pascal();
    code.gap();
    code.lines(1, format!("/** {} */\npublic static final class {name} {{", group.headline));
    for words in &group.left_out {
        code.lines(2, format!("// Without {words}."));
    }
    declarations(code, &group.fields, &group.parts);
    code.gap();
    code.lines(
        2,
        format!("private static {name} read(ByteBuffer payload, long version, ByteBuffer rest) {{"),
    );
    code.lines(3, format!("long end = payload.remaining();\n{name} it = new {name}();"));
    for field in &group.fields {
        code.lines(3, read(plan, field));
    }
    for part in &group.parts {
        code.lines(3, read_part(part));
    }
    code.lines(3, "return it;");
    code.lines(2, "}");
    code.gap();
    code.lines(2, "private void write(ByteArrayOutputStream whole) {");
    code.lines(3, format!("byte[] out = new byte[{}];", group.block_len));
    for field in &group.fields {
        code.lines(3, write(field));
    }
    code.lines(3, "whole.writeBytes(out);");
    for part in &group.parts {
        code.lines(3, write_part(part));
    }
    code.lines(2, "}");
    code.lines(1, "}");
}

fn structure(code: &mut Code, plan: &SourcePlan, message: &PlanMessage) {
    for group in groups(&message.parts) {
        entry(code, plan, group);
    }
    let name = message.name.pascal();
    code.gap();
    code.lines(
        1,
        format!("/** {} */\npublic static final class {name} implements Message {{", message.headline()),
    );
    for words in &message.left_out {
        code.lines(2, format!("// Without {}.", words));
    }
    let empty = if message.parts.is_empty() { "" } else { ", while its groups and data are empty" };
    code.lines(
        2,
        format!("/** Bytes of the message{empty}. */\npublic static final int LENGTH = {};", message.len),
    );
    declarations(code, &message.fields, &message.parts);
    code.gap();
    code.lines(
        2,
        "/** Whether a payload has its type. */\npublic static boolean matches(ByteBuffer payload) {",
    );
    match message.number {
        Some(number) => code.lines(3, format!("return hasType(payload, {});", literal(number))),
        None => code.lines(3, "return true;"),
    }
    code.lines(2, "}");
    code.gap();
    code.lines(2, format!("/** The message in the bytes of a payload, from its position to its limit; an IllegalArgumentException if there is none. */\npublic static {name} decode(ByteBuffer payload) {{"));
    code.lines(3, "if (!matches(payload)) {\n    throw new IllegalArgumentException(\"the payload has another type\");\n}");
    match plan.header {
        Some(header) => {
            code.lines(3, format!("long end = Math.min(payload.remaining(), {}L + {});", header.len, number(header.block_len)));
            if message.has_later() {
                let version = header.version.map_or_else(|| literal(i64::MAX as u64), |(place, _)| number(place));
                code.lines(3, format!("long version = {version};"));
            }
        }
        None => code.lines(3, format!("if (payload.remaining() < {}) {{\n    throw new IllegalArgumentException(\"the payload ends too early\");\n}}", message.fixed_len)),
    }
    code.lines(3, format!("{name} it = new {name}();"));
    for field in &message.fields {
        code.lines(3, read(plan, field));
    }
    if !message.parts.is_empty() {
        code.lines(3, "ByteBuffer rest = payload.slice();\nrest.position((int) end);");
    }
    for part in &message.parts {
        code.lines(3, read_part(part));
    }
    code.lines(3, "return it;");
    code.lines(2, "}");
    encode(code, message);
    code.lines(1, "}");
}

fn encode(code: &mut Code, message: &PlanMessage) {
    code.gap();
    code.lines(2, "@Override\npublic byte[] encode() {");
    let len = if message.parts.is_empty() { "LENGTH".into() } else { message.fixed_len.to_string() };
    code.lines(3, format!("byte[] out = new byte[{len}];"));
    for field in &message.fields {
        code.lines(3, write(field));
    }
    for (place, number) in &message.constants {
        let is_little = place.is_little();
        code.lines(
            3,
            format!("put(out, {}, {}, {is_little}, {});", place.offset, place.len, literal(*number)),
        );
    }
    if message.parts.is_empty() {
        code.lines(3, "return out;");
    } else {
        code.lines(3, "ByteArrayOutputStream whole = new ByteArrayOutputStream();\nwhole.writeBytes(out);");
        for part in &message.parts {
            code.lines(3, write_part(part));
        }
        code.lines(3, "return whole.toByteArray();");
    }
    code.lines(2, "}");
}

fn any(code: &mut Code, plan: &SourcePlan) {
    code.gap();
    code.lines(1, "/** The message in the bytes of a payload; an IllegalArgumentException if there is none. */\npublic static Message decode(ByteBuffer payload) {");
    let has_default = plan.messages.iter().any(|message| message.number.is_none());
    for message in &plan.messages {
        let name = message.name.pascal();
        match message.number {
            Some(_) => code
                .lines(2, format!("if ({name}.matches(payload)) {{\n    return {name}.decode(payload);\n}}")),
            None => code.lines(2, format!("return {name}.decode(payload);")),
        }
    }
    if !has_default {
        code.lines(2, "throw new IllegalArgumentException(\"the payload is no message of the schema\");");
    }
    code.lines(1, "}");
}
