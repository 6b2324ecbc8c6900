//! A header of C++17.

use super::Code;
use super::names::Name;
use super::plan::{
    FieldForm, PlanField, PlanForm, PlanGroup, PlanMessage, PlanNames, PlanPart, SourcePlan, groups,
};
use crate::NumberPlace;

const SUPPORT: &str = include_str!("support/cpp.txt");

/// The source, in a namespace.
pub fn source(plan: &SourcePlan, name: &str) -> String {
    let name = Name::of(name);
    let mut code = Code::begun("//", "cpp", plan);
    code.lines(0, "#pragma once\n\n#include <algorithm>\n#include <array>\n#include <cstddef>\n#include <cstdint>\n#include <cstring>\n#include <initializer_list>\n#include <stdexcept>\n#include <string>\n#include <string_view>\n#include <utility>\n#include <variant>\n#include <vector>\n");
    code.lines(0, format!("namespace {} {{", name.snake()));
    code.text(SUPPORT);
    type_of(&mut code, plan);
    for names in &plan.names {
        named(&mut code, names);
    }
    for message in &plan.messages {
        structure(&mut code, plan, message);
    }
    any(&mut code, plan);
    code.gap();
    code.lines(0, format!("}} // namespace {}", name.snake()));
    code.0
}

fn number(place: NumberPlace) -> String {
    let is_little = place.is_little();
    format!("detail::number(payload, {}, {}, {is_little})", place.offset, place.len)
}

fn type_of(code: &mut Code, plan: &SourcePlan) {
    let place = plan.place;
    code.gap();
    code.lines(0, "namespace detail {\n\n// Whether a payload has a type, and which number it is.\ninline bool type_of(bytes payload, std::uint64_t& number_of) {");
    let len = plan.type_end();
    let is_other = plan.header.and_then(|header| header.schema);
    let is_other = is_other.map(|(place, id)| format!(" || {} != {id}u", number(place))).unwrap_or_default();
    code.lines(1, format!("if (payload.size() < {len}{is_other}) {{\n    return false;\n}}"));
    code.lines(1, format!("number_of = {};\nreturn true;", number(place)));
    code.lines(0, "}\n\n} // namespace detail");
}

fn named(code: &mut Code, names: &PlanNames) {
    let (name, bits) = (names.name.snake(), 8 * names.width());
    code.gap();
    match names.is_set {
        false => {
            code.lines(
                0,
                format!("// A number, of which some have names.\nenum class {name}_t : std::uint{bits}_t {{"),
            );
            for (number, value) in &names.values {
                code.lines(1, format!("{} = {number}u,", value.snake()));
            }
        }
        true => {
            code.lines(0, format!("// Bits.\nstruct {name}_t {{"));
            for (number, value) in &names.values {
                code.lines(1, format!("static constexpr std::uint{bits}_t {} = {number}u;", value.snake()));
            }
        }
    }
    code.lines(0, "};");
}

fn type_name(plan: &SourcePlan, field: &PlanField) -> String {
    let bits = 8 * field.width();
    match field.form {
        FieldForm::Uint | FieldForm::Set(_) => format!("std::uint{bits}_t"),
        FieldForm::Int => format!("std::int{bits}_t"),
        FieldForm::Float => if bits == 32 { "float" } else { "double" }.into(),
        FieldForm::Bool => "bool".into(),
        FieldForm::Text(_) => format!("text<{}>", field.len),
        FieldForm::Enum(_) => {
            plan.names_of(field.form).map(|names| names.name.snake() + "_t").unwrap_or_default()
        }
    }
}

fn read(plan: &SourcePlan, field: &PlanField) -> String {
    let PlanField { at, len, is_little, .. } = *field;
    let plain = field.name.plain();
    let (of, name, bits) = (type_name(plan, field), field.name.snake(), 8 * field.width());
    let number = format!("detail::number(payload, {at}, {len}, {is_little})");
    let (value, absent) = match field.form {
        FieldForm::Uint | FieldForm::Set(_) | FieldForm::Enum(_) => {
            (format!("static_cast<{of}>({number})"), format!("static_cast<{of}>({}u)", field.absent))
        }
        FieldForm::Int => (
            format!("static_cast<{of}>(detail::with_sign({number}, {len}))"),
            format!("static_cast<{of}>(detail::with_sign({}u, {len}))", field.absent),
        ),
        FieldForm::Float => {
            (format!("detail::float{bits}({number})"), format!("detail::float{bits}({}u)", field.absent))
        }
        FieldForm::Bool => (format!("detail::flag(payload, {at}, \"{plain}\")"), "false".into()),
        FieldForm::Text(fill) => {
            (format!("{of}::read(payload.substr({at}, {len}), {fill}, \"{plain}\")"), format!("{of}()"))
        }
    };
    match plan.header {
        Some(_) => {
            let since =
                if field.since > 0 { format!(" || version < {}u", field.since) } else { String::new() };
            format!("it.{name} = end < {}{since} ? {absent} : {value};", field.end())
        }
        None => format!("it.{name} = {value};"),
    }
}

fn write(field: &PlanField) -> String {
    let PlanField { at, len, is_little, .. } = *field;
    let plain = field.name.plain();
    let (name, bits) = (field.name.snake(), 8 * field.width());
    let value = format!("static_cast<std::uint64_t>({name})");
    let value = match field.form {
        FieldForm::Text(fill) => return format!("{name}.write(out.data() + {at}, {fill});"),
        FieldForm::Int if field.is_narrow() => {
            format!("detail::fits_signed({value}, {name}, {len}, \"{plain}\")")
        }
        FieldForm::Uint | FieldForm::Enum(_) | FieldForm::Set(_) if field.is_narrow() => {
            format!("detail::fits({value}, {len}, \"{plain}\")")
        }
        FieldForm::Float => format!("detail::bits{bits}({name})"),
        _ => value,
    };
    format!("detail::put(out.data(), {at}, {len}, {is_little}, {value});")
}

fn place_of(place: NumberPlace) -> String {
    format!("{{{}, {}, {}}}", place.offset, place.len, place.is_little())
}

fn read_part(part: &PlanPart) -> String {
    let (plain, name) = (part.name.plain(), part.name.snake());
    let value = match &part.form {
        PlanForm::Group(group) => format!(
            "detail::group<{of}>(\"{plain}\", rest, {}, {}, {}, [&](bytes entry) {{ return {of}::read(entry, version, rest); }})",
            group.header_len,
            place_of(group.block_place),
            place_of(group.count_place),
            of = group.name.snake(),
        ),
        PlanForm::Data { header_len, length } => {
            format!("std::string(detail::data(\"{plain}\", rest, {header_len}, {}))", place_of(*length))
        }
    };
    match part.since {
        0 => format!("it.{name} = {value};"),
        since => format!("if (version >= {since}u) {{\n    it.{name} = {value};\n}}"),
    }
}

fn write_part(part: &PlanPart) -> String {
    let (plain, name) = (part.name.plain(), part.name.snake());
    match &part.form {
        PlanForm::Group(group) => format!(
            "detail::put_head(\"{plain}\", whole, {}, {{{{{}, {}}}, {{{}, {name}.size()}}}});\nfor (const auto& entry : {name}) {{\n    entry.write(whole);\n}}",
            group.header_len,
            place_of(group.block_place),
            group.block_len,
            place_of(group.count_place),
        ),
        PlanForm::Data { header_len, length } => format!(
            "detail::put_head(\"{plain}\", whole, {header_len}, {{{{{}, {name}.size()}}}});\nwhole.insert(whole.end(), {name}.begin(), {name}.end());",
            place_of(*length),
        ),
    }
}

/// The begin of a structure: its fields.
fn declaration(
    code: &mut Code,
    plan: &SourcePlan,
    of: (&str, &str, &[String]),
    fields: &[PlanField],
    parts: &[PlanPart],
) {
    let (name, headline, left_out) = of;
    code.gap();
    code.lines(0, format!("// {headline}"));
    for words in left_out {
        code.lines(0, format!("// Without {words}."));
    }
    code.lines(0, format!("struct {name} {{"));
    for field in fields {
        code.lines(1, format!("// {}\n{} {}{{}};", field.doc, type_name(plan, field), field.name.snake()));
    }
    for part in parts {
        let of = match &part.form {
            PlanForm::Group(group) => format!("std::vector<struct {}>", group.name.snake()),
            PlanForm::Data { .. } => "std::string".into(),
        };
        code.lines(1, format!("// {}\n{of} {}{{}};", part.doc, part.name.snake()));
    }
}

/// The structure of an entry, with what reads and writes it.
fn entry(code: &mut Code, plan: &SourcePlan, group: &PlanGroup) {
    let name = group.name.snake();
    declaration(code, plan, (&name, &group.headline, &group.left_out), &group.fields, &group.parts);
    code.gap();
    code.lines(1, format!("static struct {name} read(bytes payload, [[maybe_unused]] std::uint64_t version, [[maybe_unused]] bytes& rest) {{"));
    code.lines(2, "[[maybe_unused]] const std::size_t end = payload.size();");
    code.lines(2, format!("struct {name} it;"));
    for field in &group.fields {
        code.lines(2, read(plan, field));
    }
    for part in &group.parts {
        code.lines(2, read_part(part));
    }
    code.lines(2, "return it;");
    code.lines(1, "}");
    code.gap();
    code.lines(1, "void write(std::vector<std::uint8_t>& whole) const {");
    code.lines(2, format!("std::array<std::uint8_t, {}> out{{}};", group.block_len));
    for field in &group.fields {
        code.lines(2, write(field));
    }
    code.lines(2, "whole.insert(whole.end(), out.begin(), out.end());");
    for part in &group.parts {
        code.lines(2, write_part(part));
    }
    code.lines(1, "}");
    code.lines(0, "};");
}

fn structure(code: &mut Code, plan: &SourcePlan, message: &PlanMessage) {
    for group in groups(&message.parts) {
        entry(code, plan, group);
    }
    let name = message.name.snake();
    let of = (&*name, &*message.headline(), &*message.left_out);
    declaration(code, plan, of, &message.fields, &message.parts);
    let empty = if message.parts.is_empty() { "" } else { ", while its groups and data are empty" };
    code.gap();
    code.lines(
        1,
        format!(
            "// Bytes of the message{empty}.\nstatic constexpr std::size_t encoded_size = {};",
            message.len
        ),
    );
    code.gap();
    code.lines(1, "// Whether a payload has its type.\nstatic bool matches(bytes payload) {");
    match message.number {
        Some(number) => code.lines(2, format!("std::uint64_t number_of = 0;\nreturn detail::type_of(payload, number_of) && number_of == {number}u;")),
        None => code.lines(2, "static_cast<void>(payload);\nreturn true;"),
    }
    code.lines(1, "}");
    decode(code, plan, message);
    encode(code, message);
    code.lines(0, "};");
}

fn decode(code: &mut Code, plan: &SourcePlan, message: &PlanMessage) {
    let name = message.name.snake();
    code.gap();
    code.lines(1, format!("// The message in the bytes of a payload; throws std::invalid_argument if there is none.\nstatic struct {name} decode(bytes payload) {{"));
    code.lines(
        2,
        "if (!matches(payload)) {\n    throw std::invalid_argument(\"the payload has another type\");\n}",
    );
    match plan.header {
        Some(header) => {
            code.lines(2, format!("[[maybe_unused]] const std::size_t end = std::min<std::uint64_t>(payload.size(), {} + {});", header.len, number(header.block_len)));
            let version = header.version.map_or_else(|| "UINT64_MAX".into(), |(place, _)| number(place));
            code.lines(2, format!("[[maybe_unused]] const std::uint64_t version = {version};"));
        }
        None if message.fixed_len == 0 => {}
        None => {
            let len = message.fixed_len;
            code.lines(2, format!("if (payload.size() < {len}) {{\n    throw std::invalid_argument(\"the payload ends too early\");\n}}"));
        }
    }
    // The field of that name would hide the type.
    code.lines(2, format!("struct {name} it;"));
    for field in &message.fields {
        code.lines(2, read(plan, field));
    }
    if !message.parts.is_empty() {
        code.lines(2, "bytes rest = payload.substr(end);");
    }
    for part in &message.parts {
        code.lines(2, read_part(part));
    }
    code.lines(2, "return it;");
    code.lines(1, "}");
}

fn encode(code: &mut Code, message: &PlanMessage) {
    code.gap();
    let has_parts = !message.parts.is_empty();
    let of = if has_parts { "std::vector<std::uint8_t>" } else { "std::array<std::uint8_t, encoded_size>" };
    code.lines(1, format!("// The bytes of the message; throws std::invalid_argument if a number is too large for its field.\n{of} encode() const {{"));
    let len = if has_parts { message.fixed_len.to_string() } else { "encoded_size".into() };
    code.lines(2, format!("std::array<std::uint8_t, {len}> out{{}};"));
    for field in &message.fields {
        code.lines(2, write(field));
    }
    for (place, number) in &message.constants {
        let is_little = place.is_little();
        code.lines(
            2,
            format!("detail::put(out.data(), {}, {}, {is_little}, {number}u);", place.offset, place.len),
        );
    }
    if has_parts {
        code.lines(2, "std::vector<std::uint8_t> whole(out.begin(), out.end());");
    }
    for part in &message.parts {
        code.lines(2, write_part(part));
    }
    code.lines(2, if has_parts { "return whole;" } else { "return out;" });
    code.lines(1, "}");
}

/// The variant of all messages.
fn any(code: &mut Code, plan: &SourcePlan) {
    let names: Vec<_> = plan.messages.iter().map(|message| message.name.snake()).collect();
    code.gap();
    code.lines(
        0,
        format!("// Any message of the schema.\nusing any_message = std::variant<{}>;", names.join(", ")),
    );
    code.gap();
    code.lines(0, "// The message in the bytes of a payload; throws std::invalid_argument if there is none.\ninline any_message decode_any(bytes payload) {");
    let has_default = plan.messages.iter().any(|message| message.number.is_none());
    for (message, name) in plan.messages.iter().zip(names) {
        match message.number {
            Some(_) => code.lines(
                1,
                format!("if ({name}::matches(payload)) {{\n    return {name}::decode(payload);\n}}"),
            ),
            None => code.lines(1, format!("return {name}::decode(payload);")),
        }
    }
    if !has_default {
        code.lines(1, "throw std::invalid_argument(\"the payload is no message of the schema\");");
    }
    code.lines(0, "}");
}
