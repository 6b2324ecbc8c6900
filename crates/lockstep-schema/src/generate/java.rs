//! A class of Java.

use super::Code;
use super::names::Name;
use super::plan::{FieldForm, PlanField, PlanMessage, PlanNames, SourcePlan};
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
    code.lines(0, "import java.nio.ByteBuffer;\nimport java.nio.charset.StandardCharsets;\n");
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

fn structure(code: &mut Code, plan: &SourcePlan, message: &PlanMessage) {
    let name = message.name.pascal();
    code.gap();
    code.lines(
        1,
        format!("/** {} */\npublic static final class {name} implements Message {{", message.headline()),
    );
    for words in &message.left_out {
        code.lines(2, format!("// Without {}.", words));
    }
    code.lines(2, format!("/** Bytes of the message. */\npublic static final int LENGTH = {};", message.len));
    for field in &message.fields {
        let default = if field.form == FieldForm::Text(0) || field.form == FieldForm::Text(b' ') {
            " = \"\""
        } else {
            ""
        };
        code.lines(
            2,
            format!("\n/** {} */\npublic {} {}{default};", field.doc, type_name(field), field.name.camel()),
        );
    }
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
            if let Some((place, _)) = header.version.filter(|_| message.has_later()) {
                code.lines(3, format!("long version = {};", number(place)));
            }
        }
        None => code.lines(3, format!("if (payload.remaining() < {}) {{\n    throw new IllegalArgumentException(\"the payload ends too early\");\n}}", message.fixed_len)),
    }
    code.lines(3, format!("{name} it = new {name}();"));
    for field in &message.fields {
        code.lines(3, read(plan, field));
    }
    code.lines(3, "return it;");
    code.lines(2, "}");
    code.gap();
    code.lines(2, "@Override\npublic byte[] encode() {\n    byte[] out = new byte[LENGTH];");
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
    code.lines(2, "    return out;\n}");
    code.lines(1, "}");
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
