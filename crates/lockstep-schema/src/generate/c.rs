//! A header of C99.

use super::Code;
use super::names::Name;
use super::plan::{
    FieldForm, PlanField, PlanForm, PlanGroup, PlanMessage, PlanNames, PlanPart, SourcePlan, groups,
};
use crate::NumberPlace;

const SUPPORT: &str = include_str!("support/c.txt");
/// What messages with groups or data need beside that.
const PARTS: &str = include_str!("support/c_parts.txt");

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
    if plan.messages.iter().any(|message| !message.parts.is_empty()) {
        code.text(&PARTS.replace("@p@", &prefix.small));
    }
    type_of(&mut code, plan, prefix);
    for names in &plan.names {
        named(&mut code, names, prefix);
    }
    for message in &plan.messages {
        for group in groups(&message.parts) {
            entry(&mut code, plan, group, prefix);
        }
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
    code.lines(0, format!("#define {}_{}_LEN {}\n", prefix.large, message.name.upper(), message.len));
    members(code, plan, &of, (&message.fields, &message.parts), prefix);
}

/// The structure of a block.
fn members(
    code: &mut Code,
    plan: &SourcePlan,
    of: &str,
    (fields, parts): (&[PlanField], &[PlanPart]),
    prefix: &Prefix,
) {
    code.lines(0, format!("typedef struct {of} {{"));
    if fields.is_empty() && parts.is_empty() {
        code.lines(1, "char nothing;");
    }
    for field in fields {
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
    for part in parts {
        let name = part.name.snake();
        let item = match &part.form {
            PlanForm::Group(group) => format!("struct {}_{}", prefix.small, group.name.snake()),
            PlanForm::Data { .. } => "uint8_t".into(),
        };
        code.lines(1, format!("/* {} */\nconst {item} *{name};\nsize_t {name}_len;", part.doc));
    }
    code.lines(0, format!("}} {of};"));
}

/// The numbers of a place, as arguments.
fn place_of(place: NumberPlace) -> String {
    format!("{}, {}, {}", place.offset, place.len, u8::from(place.is_little()))
}

/// The statements that read a part from `rest` into `out`.
fn read_part(part: &PlanPart, prefix: &Prefix) -> String {
    let (small, plain, name) = (&prefix.small, part.name.plain(), part.name.snake());
    let early = format!("{{\n    return \"{plain}: the payload ends too early\";\n}}");
    let read = match &part.form {
        PlanForm::Data { header_len, length } => format!(
            "if (!{small}_data__(rest, {header_len}, {}, &out->{name}, &out->{name}_len)) {early}",
            place_of(*length)
        ),
        PlanForm::Group(group) => {
            let of = format!("{small}_{}", group.name.snake());
            let (block, count) = (place_of(group.block_place), place_of(group.count_place));
            format!(
                "size_t block, count;
if (!{small}_head__(rest, {len}, {block}, {count}, &block, &count)) {early}
{of} *entries = ({of} *){small}_room__(memory, count, sizeof *entries);
if (entries == NULL && count > 0) {{
    return \"{plain}: the memory has no room for its entries\";
}}
for (size_t at = 0; at < count; at++) {{
    const size_t before = rest->len;
    const uint8_t *entry = {small}_take__(rest, block);
    if (entry == NULL) {{
        return \"{plain}: the payload ends too early\";
    }}
    const char *wrong = {of}_read__(&entries[at], entry, block, version, rest, memory);
    if (wrong != NULL) {{
        return wrong;
    }}
    if (rest->len == before) {{
        return \"{plain}: its entries have no bytes\";
    }}
}}
out->{name} = entries;
out->{name}_len = count;",
                len = group.header_len
            )
        }
    };
    let inner: String = read.lines().map(|line| format!("    {line}\n")).collect();
    match part.since {
        0 => format!("{{\n{inner}}}"),
        since => format!("if (version >= UINT64_C({since})) {{\n{inner}}}"),
    }
}

/// The statements that append a part of `it`.
fn write_part(part: &PlanPart, prefix: &Prefix) -> String {
    let (small, plain, name) = (&prefix.small, part.name.plain(), part.name.snake());
    let head = |header_len: usize, block: &str, block_len: usize, count: NumberPlace| {
        format!(
            "wrong = {small}_put_head__(place, {header_len}, {block}, {block_len}, {}, it->{name}_len,\n    \"{plain}: it is too long\");\nif (wrong != NULL) {{\n    return wrong;\n}}\n",
            place_of(count)
        )
    };
    match &part.form {
        PlanForm::Data { header_len, length } => {
            let failed = format!("    return {small}_NO_ROOM__;\n}}");
            head(*header_len, "0, 0, 0", 0, *length)
                + &format!(
                    "if (it->{name}_len > 0) {{\n    uint8_t *bytes = {small}_more__(place, it->{name}_len);\n    if (bytes == NULL) {{\n    {}\n    memcpy(bytes, it->{name}, it->{name}_len);\n}}",
                    failed.replace('\n', "\n    ")
                )
        }
        PlanForm::Group(group) => {
            let of = format!("{small}_{}", group.name.snake());
            head(group.header_len, &place_of(group.block_place), group.block_len, group.count_place)
                + &format!(
                    "for (size_t at = 0; at < it->{name}_len; at++) {{\n    wrong = {of}_write__(&it->{name}[at], place);\n    if (wrong != NULL) {{\n        return wrong;\n    }}\n}}"
                )
        }
    }
}

/// The structure of an entry, with what reads and writes it.
fn entry(code: &mut Code, plan: &SourcePlan, group: &PlanGroup, prefix: &Prefix) {
    let of = format!("{}_{}", prefix.small, group.name.snake());
    code.gap();
    code.lines(0, format!("/* {} */", group.headline));
    for words in &group.left_out {
        code.lines(0, format!("/* Without {words}. */"));
    }
    members(code, plan, &of, (&group.fields, &group.parts), prefix);
    let small = &prefix.small;
    code.gap();
    code.lines(0, format!("static inline const char *{of}_read__({of} *out, const uint8_t *payload, size_t end, uint64_t version, {small}_rest__ *rest,\n    {small}_memory *memory) {{"));
    code.lines(1, "(void)payload;\n(void)end;\n(void)version;\n(void)rest;\n(void)memory;\nmemset(out, 0, sizeof *out);");
    read_fields(code, &group.fields, true, prefix);
    for part in &group.parts {
        code.lines(1, read_part(part, prefix));
    }
    code.lines(1, "return NULL;");
    code.lines(0, "}");
    code.gap();
    code.lines(
        0,
        format!("static inline const char *{of}_write__(const {of} *it, {small}_place__ *place) {{"),
    );
    code.lines(1, format!("uint8_t *out = {small}_more__(place, {len});\nif (out == NULL) {{\n    return {small}_NO_ROOM__;\n}}\nmemset(out, 0, {len});", len = group.block_len));
    if group.fields.is_empty() && group.parts.is_empty() {
        code.lines(1, "(void)it;");
    }
    for field in &group.fields {
        code.lines(1, write(field, prefix));
    }
    if !group.parts.is_empty() {
        code.lines(1, "const char *wrong;");
    }
    for part in &group.parts {
        code.lines(1, write_part(part, prefix));
    }
    code.lines(1, "return NULL;");
    code.lines(0, "}");
}

/// The statements that read the fields of a block of Simple Binary Encoding, which may end early.
fn read_fields(code: &mut Code, fields: &[PlanField], has_version: bool, prefix: &Prefix) {
    for field in fields {
        let is_later = field.since > 0 && has_version;
        let since = if is_later { format!(" || version < {}", field.since) } else { String::new() };
        code.lines(1, format!("if (end < {}{since}) {{", field.end()));
        code.lines(2, absent(field, prefix));
        code.lines(1, "} else {");
        code.lines(2, read(field, prefix));
        code.lines(1, "}");
    }
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
    let (small, has_parts) = (&prefix.small, !message.parts.is_empty());
    let of = format!("{small}_{}", message.name.snake());
    let words = if has_parts {
        ".\n * Its entries are stored in `memory`, and its data stays in the payload"
    } else {
        ""
    };
    let memory = if has_parts { format!(",\n    {small}_memory *memory") } else { String::new() };
    code.gap();
    code.lines(0, format!("/* The message in the bytes of a payload{words}. Returns NULL, or what is wrong. */\nstatic inline const char *{of}_decode({of} *out, const uint8_t *payload, size_t len{memory}) {{"));
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
            if message.has_later() {
                let version =
                    header.version.map_or_else(|| "UINT64_MAX".into(), |(place, _)| number(prefix, place));
                code.lines(1, format!("const uint64_t version = {version};\n(void)version;"));
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
    match plan.header {
        Some(_) => read_fields(code, &message.fields, true, prefix),
        None => message.fields.iter().for_each(|field| code.lines(1, read(field, prefix))),
    }
    if has_parts {
        code.lines(
            1,
            format!("{small}_rest__ left = {{payload + end, len - end}};\n{small}_rest__ *rest = &left;\n(void)memory;"),
        );
    }
    for part in &message.parts {
        code.lines(1, read_part(part, prefix));
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
    let (small, has_parts) = (&prefix.small, !message.parts.is_empty());
    let of = format!("{small}_{}", message.name.snake());
    code.gap();
    if has_parts {
        code.lines(0, format!("/* The bytes of the message in `out`, which has room for so many; how many they are is stored. Returns NULL, or\n * what is wrong. */\nstatic inline const char *{of}_encode(const {of} *it, uint8_t *out, size_t room, size_t *len) {{"));
        code.lines(1, format!("{small}_place__ whole = {{out, room, 0}};\n{small}_place__ *place = &whole;\nif ({small}_more__(place, {}) == NULL) {{\n    return {small}_NO_ROOM__;\n}}", message.fixed_len));
    } else {
        code.lines(0, format!("/* The bytes of the message: {}_{}_LEN of them. Returns NULL, or what is wrong. */\nstatic inline const char *{of}_encode(const {of} *it, uint8_t *out) {{", prefix.large, message.name.upper()));
    }
    code.lines(1, format!("memset(out, 0, {});", if has_parts { message.fixed_len } else { message.len }));
    if message.fields.is_empty() && !has_parts {
        code.lines(1, "(void)it;");
    }
    for field in &message.fields {
        code.lines(1, write(field, prefix));
    }
    for (place, number) in &message.constants {
        let place = place_of(*place);
        code.lines(1, format!("{small}_put__(out, {place}, UINT64_C({number}));"));
    }
    if has_parts {
        code.lines(1, "const char *wrong;");
        for part in &message.parts {
            code.lines(1, write_part(part, prefix));
        }
        code.lines(1, "*len = whole.used;");
    }
    code.lines(1, "return NULL;");
    code.lines(0, "}");
}
