//! A header of C99.

use super::Code;
use super::names::Name;
use super::plan::{FieldForm, PlanField, PlanMessage, PlanNames, SourcePlan};
use crate::NumberPlace;

const SUPPORT: &str = include_str!("support/c.txt");

/// The source; each name begins with that of the schema.
pub fn source(plan: &SourcePlan, name: &str) -> String {
    let name = Name::of(name);
    let prefix = &Prefix { small: name.snake(), large: name.upper() };
    let mut code = Code::default();
    code.lines(
        0,
        format!(
            "/* Written by `lockstep schema generate --c` from the schema '{}': change that. */",
            plan.label
        ),
    );
    code.lines(0, format!("#ifndef {large}_SCHEMA_H\n#define {large}_SCHEMA_H", large = prefix.large));
    code.text(&SUPPORT.replace("@p@", &prefix.small));
    type_of(&mut code, plan, prefix);
    for names in &plan.names {
        named(&mut code, names, prefix);
    }
    for message in &plan.messages {
        structure(&mut code, plan, message, prefix);
        matches(&mut code, message, prefix);
        decode(&mut code, plan, message, prefix);
        encode(&mut code, message, prefix);
    }
    code.gap();
    code.lines(0, "#endif");
    code.0
}

/// What names begin with.
struct Prefix {
    small: String,
    large: String,
}

fn number(prefix: &Prefix, place: NumberPlace) -> String {
    let is_little = u8::from(place.is_little());
    format!("{}_number__(payload, {}, {}, {is_little})", prefix.small, place.offset, place.len)
}

fn type_of(code: &mut Code, plan: &SourcePlan, prefix: &Prefix) {
    let small = &prefix.small;
    let place = plan.place;
    code.gap();
    code.lines(0, format!("/* Whether a payload has a type: the number is stored. */\nstatic inline int {small}_type(const uint8_t *payload, size_t len, uint64_t *number) {{"));
    let len = plan.type_end();
    code.lines(1, format!("if (len < {len}) {{\n    return 0;\n}}"));
    if let Some((place, id)) = plan.header.and_then(|header| header.schema) {
        code.lines(1, format!("if ({} != {id}u) {{\n    return 0;\n}}", number(prefix, place)));
    }
    code.lines(1, format!("*number = {};\nreturn 1;", number(prefix, place)));
    code.lines(0, "}");
}

fn named(code: &mut Code, names: &PlanNames, prefix: &Prefix) {
    code.gap();
    code.lines(
        0,
        format!("/* {} of {}. */", if names.is_set { "Bits" } else { "Numbers" }, names.name.snake()),
    );
    for (number, value) in &names.values {
        let (large, of) = (&prefix.large, names.name.upper());
        code.lines(
            0,
            format!("#define {large}_{of}_{} UINT{}_C({number})", value.upper(), 8 * names.width()),
        );
    }
}

fn structure(code: &mut Code, plan: &SourcePlan, message: &PlanMessage, prefix: &Prefix) {
    let of = format!("{}_{}", prefix.small, message.name.snake());
    code.gap();
    code.lines(0, format!("/* {} */", message.headline()));
    for words in &message.left_out {
        code.lines(0, format!("/* Without {words}. */"));
    }
    code.lines(
        0,
        format!(
            "#define {}_{}_LEN {}\n\ntypedef struct {of} {{",
            prefix.large,
            message.name.upper(),
            message.len
        ),
    );
    if message.fields.is_empty() {
        code.lines(1, "char nothing;");
    }
    for field in &message.fields {
        let bits = 8 * field.width();
        let name = field.name.snake();
        let declared = match field.form {
            FieldForm::Uint | FieldForm::Enum(_) | FieldForm::Set(_) => format!("uint{bits}_t {name}"),
            FieldForm::Int => format!("int{bits}_t {name}"),
            FieldForm::Float => format!("{} {name}", if bits == 32 { "float" } else { "double" }),
            FieldForm::Bool => format!("bool {name}"),
            FieldForm::Text(_) => format!("char {name}[{}]", field.len + 1),
        };
        let values =
            plan.names_of(field.form).map(|names| format!(" {}_{}_….", prefix.large, names.name.upper()));
        code.lines(1, format!("/* {}{} */\n{declared};", field.doc, values.unwrap_or_default()));
    }
    code.lines(0, format!("}} {of};"));
}

fn matches(code: &mut Code, message: &PlanMessage, prefix: &Prefix) {
    let small = &prefix.small;
    code.gap();
    code.lines(0, format!("/* Whether a payload has its type. */\nstatic inline int {small}_{}_matches(const uint8_t *payload, size_t len) {{", message.name.snake()));
    match message.number {
        Some(wanted) => {
            code.lines(1, "uint64_t number;");
            code.lines(
                1,
                format!("return {small}_type(payload, len, &number) && number == UINT64_C({wanted});"),
            );
        }
        None => code.lines(1, "(void)payload;\n(void)len;\nreturn 1;"),
    }
    code.lines(0, "}");
}

/// The statement that reads a field of `payload` into `out`.
fn read(field: &PlanField, prefix: &Prefix) -> String {
    let PlanField { at, len, .. } = *field;
    let (small, name, bits) = (&prefix.small, field.name.snake(), 8 * field.width());
    let (is_little, plain) = (u8::from(field.is_little), field.name.plain());
    let number = format!("{small}_number__(payload, {at}, {len}, {is_little})");
    match field.form {
        FieldForm::Uint | FieldForm::Enum(_) | FieldForm::Set(_) => {
            format!("out->{name} = (uint{bits}_t){number};")
        }
        FieldForm::Int => format!("out->{name} = (int{bits}_t){small}_signed__({number}, {len});"),
        FieldForm::Float => format!("out->{name} = {small}_float{bits}__({number});"),
        FieldForm::Bool => {
            format!(
                "if (payload[{at}] > 1) {{\n    return \"{plain}: it is neither 0 nor 1\";\n}}\nout->{name} = payload[{at}] == 1;"
            )
        }
        FieldForm::Text(fill) => format!(
            "if (!{small}_text__(payload + {at}, {len}, {fill}, out->{name})) {{\n    return \"{plain}: it is not ASCII\";\n}}"
        ),
    }
}

fn absent(field: &PlanField, prefix: &Prefix) -> String {
    let (name, bits) = (field.name.snake(), 8 * field.width());
    match field.form {
        FieldForm::Uint | FieldForm::Enum(_) | FieldForm::Set(_) => {
            format!("out->{name} = UINT{bits}_C({});", field.absent)
        }
        // The smallest number has no literal of its own.
        FieldForm::Int => format!(
            "out->{name} = (int{bits}_t){}_signed__(UINT64_C({}), {});",
            prefix.small, field.absent, field.len
        ),
        FieldForm::Float => {
            format!("out->{name} = {}_float{bits}__(UINT64_C({}));", prefix.small, field.absent)
        }
        FieldForm::Bool => format!("out->{name} = false;"),
        FieldForm::Text(_) => format!("out->{name}[0] = 0;"),
    }
}

fn decode(code: &mut Code, plan: &SourcePlan, message: &PlanMessage, prefix: &Prefix) {
    let of = format!("{}_{}", prefix.small, message.name.snake());
    code.gap();
    code.lines(0, format!("/* The message in the bytes of a payload. Returns NULL, or what is wrong. */\nstatic inline const char *{of}_decode({of} *out, const uint8_t *payload, size_t len) {{"));
    code.lines(
        1,
        format!("if (!{of}_matches(payload, len)) {{\n    return \"the payload has another type\";\n}}"),
    );
    match plan.header {
        Some(header) => {
            code.lines(
                1,
                format!(
                    "size_t end = {} + (size_t){};\nif (end > len) {{\n    end = len;\n}}",
                    header.len,
                    number(prefix, header.block_len)
                ),
            );
            if let Some((place, _)) = header.version.filter(|_| message.has_later()) {
                code.lines(1, format!("const uint64_t version = {};", number(prefix, place)));
            }
            code.lines(1, "(void)end;");
        }
        None if message.fixed_len == 0 => {}
        None => {
            let len = message.fixed_len;
            code.lines(1, format!("if (len < {len}) {{\n    return \"the payload ends too early\";\n}}"));
        }
    }
    code.lines(1, "memset(out, 0, sizeof *out);");
    for field in &message.fields {
        let has_version = plan.header.is_some_and(|header| header.version.is_some());
        if plan.header.is_some() {
            let is_later = field.since > 0 && has_version;
            let since = if is_later { format!(" || version < {}", field.since) } else { String::new() };
            code.lines(1, format!("if (end < {}{since}) {{", field.end()));
            code.lines(2, absent(field, prefix));
            code.lines(1, "} else {");
            code.lines(2, read(field, prefix));
            code.lines(1, "}");
        } else {
            code.lines(1, read(field, prefix));
        }
    }
    code.lines(1, "return NULL;");
    code.lines(0, "}");
}

/// The statements that write a field of `it` into `out`.
fn write(field: &PlanField, prefix: &Prefix) -> String {
    let PlanField { at, len, .. } = *field;
    let (small, name, bits) = (&prefix.small, field.name.snake(), 8 * field.width());
    let (is_little, plain) = (u8::from(field.is_little), field.name.plain());
    let put = |value: String| format!("{small}_put__(out, {at}, {len}, {is_little}, {value});");
    let too_large = format!("    return \"{plain}: the number is too large\";\n}}\n");
    let value = format!("(uint64_t)it->{name}");
    match field.form {
        FieldForm::Uint | FieldForm::Enum(_) | FieldForm::Set(_) if field.is_narrow() => {
            format!("if ({value} >> {} != 0) {{\n{too_large}{}", 8 * len, put(value.clone()))
        }
        FieldForm::Int if field.is_narrow() => {
            format!(
                "if ({small}_signed__({value}, {len}) != it->{name}) {{\n{too_large}{}",
                put(value.clone())
            )
        }
        FieldForm::Uint | FieldForm::Enum(_) | FieldForm::Set(_) | FieldForm::Int | FieldForm::Bool => {
            put(value)
        }
        FieldForm::Float => put(format!("{small}_bits{bits}__(it->{name})")),
        FieldForm::Text(fill) => format!(
            "if (!{small}_put_text__(out + {at}, {len}, {fill}, it->{name})) {{\n    return \"{plain}: it is too long, or not ASCII\";\n}}"
        ),
    }
}

fn encode(code: &mut Code, message: &PlanMessage, prefix: &Prefix) {
    let of = format!("{}_{}", prefix.small, message.name.snake());
    code.gap();
    code.lines(0, format!("/* The bytes of the message: {}_{}_LEN of them. Returns NULL, or what is wrong. */\nstatic inline const char *{of}_encode(const {of} *it, uint8_t *out) {{", prefix.large, message.name.upper()));
    code.lines(1, format!("memset(out, 0, {});", message.len));
    if message.fields.is_empty() {
        code.lines(1, "(void)it;");
    }
    for field in &message.fields {
        code.lines(1, write(field, prefix));
    }
    for (place, number) in &message.constants {
        let is_little = u8::from(place.is_little());
        code.lines(
            1,
            format!(
                "{}_put__(out, {}, {}, {is_little}, UINT64_C({number}));",
                prefix.small, place.offset, place.len
            ),
        );
    }
    code.lines(1, "return NULL;");
    code.lines(0, "}");
}
