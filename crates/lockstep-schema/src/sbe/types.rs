//! The types of a schema of Simple Binary Encoding, and the fields that they become.

use super::{name_of, number, snake, unique};
use crate::text::{FieldKind, FieldOrder, FieldPadding};
use crate::{NumberPlace, PAYLOAD_LEN_MAX, PRICE_DIGITS};
use roxmltree::Node;
use std::collections::{BTreeMap, BTreeSet};

/// Composites within composites.
const DEPTH_MAX: usize = 8;
/// Types that the fields of one message have, one in another.
const STEPS_MAX: usize = 100_000;

/// A field before it has a column.
pub struct RawField {
    pub name: String,
    pub offset: usize,
    pub len: usize,
    pub kind: FieldKind,
    pub decimals: u8,
    pub names: BTreeMap<u64, String>,
    pub padding: FieldPadding,
    pub order: FieldOrder,
    pub null: Option<u64>,
    pub absent: Option<u64>,
    pub since: u64,
}

/// Where a type is used.
#[derive(Clone, Copy, Default)]
pub struct Place<'a> {
    pub offset: usize,
    /// As the field says; else the type says.
    pub presence: Option<&'a str>,
    pub since: u64,
    pub depth: usize,
}

/// The numbers of which all types are made.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Primitive {
    Char,
    Int(usize),
    Uint(usize),
    Float(usize),
}

impl Primitive {
    fn of(name: &str) -> Option<Self> {
        Some(match name {
            "char" => Self::Char,
            "int8" => Self::Int(1),
            "int16" => Self::Int(2),
            "int32" => Self::Int(4),
            "int64" => Self::Int(8),
            "uint8" => Self::Uint(1),
            "uint16" => Self::Uint(2),
            "uint32" => Self::Uint(4),
            "uint64" => Self::Uint(8),
            "float" => Self::Float(4),
            "double" => Self::Float(8),
            _ => return None,
        })
    }

    fn len(self) -> usize {
        match self {
            Self::Char => 1,
            Self::Int(len) | Self::Uint(len) | Self::Float(len) => len,
        }
    }

    fn kind(self) -> FieldKind {
        match self {
            Self::Char => FieldKind::Ascii,
            Self::Int(_) => FieldKind::Int,
            Self::Uint(_) => FieldKind::Uint,
            Self::Float(_) => FieldKind::Float,
        }
    }

    /// The bits that mean that there is no value, unless the type says otherwise.
    fn null(self) -> u64 {
        match self {
            Self::Char => 0,
            Self::Int(len) => 1 << (8 * len - 1),
            Self::Uint(len) => u64::MAX >> (64 - 8 * len),
            Self::Float(4) => f32::NAN.to_bits().into(),
            Self::Float(_) => f64::NAN.to_bits(),
        }
    }

    /// The bits of a value as the schema writes it.
    fn parse(self, text: &str) -> Result<u64, String> {
        let wrong = || format!("'{}' is no value of this type: write one that fits", text.escape_debug());
        match (self, text.as_bytes()) {
            (Self::Char, [letter]) if letter.is_ascii() => Ok((*letter).into()),
            (Self::Char, _) => text.parse::<u8>().map(u64::from).map_err(|_| wrong()),
            (Self::Float(4), _) => text.parse::<f32>().map(|it| it.to_bits().into()).map_err(|_| wrong()),
            (Self::Float(_), _) => text.parse::<f64>().map(f64::to_bits).map_err(|_| wrong()),
            (Self::Uint(_), _) => {
                let fits = text.parse::<u64>().ok().filter(|number| *number <= self.null());
                fits.ok_or_else(wrong)
            }
            (Self::Int(len), _) => {
                let number = text.parse::<i64>().map_err(|_| wrong())?;
                let unused = 64 - 8 * len;
                let is_fit = number << unused >> unused == number;
                is_fit.then_some((number as u64) << unused >> unused).ok_or_else(wrong)
            }
        }
    }
}

/// The types by name.
pub struct Types<'a> {
    named: BTreeMap<&'a str, Node<'a, 'a>>,
    pub order: FieldOrder,
}

impl<'a> Types<'a> {
    /// Those of a schema; which one is wrong, and why.
    pub fn of(root: Node<'a, 'a>, order: FieldOrder) -> Result<Self, (Node<'a, 'a>, String)> {
        let mut named = BTreeMap::new();
        let groups = root.children().filter(|node| node.tag_name().name() == "types");
        for node in groups.flat_map(|types| types.children()).filter(Node::is_element) {
            let name = name_of(node).map_err(|what| (node, what))?;
            if named.insert(name, node).is_some() {
                return Err((node, format!("two types have the name '{}': rename one", name.escape_debug())));
            }
        }
        Ok(Self { named, order })
    }

    /// A member of a composite.
    pub fn member(&self, composite: &str, member: &str) -> Option<Node<'a, 'a>> {
        let composite = self.named.get(composite)?;
        composite.children().find(|node| node.attribute("name") == Some(member))
    }

    /// The numbers that an enum or a set is made of.
    fn encoding(&self, node: Node<'a, 'a>) -> Result<Primitive, String> {
        let name = node.attribute("encodingType").ok_or("it has no encodingType: give it one")?;
        let named = || self.named.get(name).and_then(|node| node.attribute("primitiveType"));
        let found = Primitive::of(name).or_else(|| named().and_then(Primitive::of));
        let found = found.filter(|found| !matches!(found, Primitive::Float(_)));
        found.ok_or_else(|| format!("encodingType '{}': name char or an integer", name.escape_debug()))
    }
}

/// The fields that types become.
pub struct Expander<'t, 'a> {
    types: &'t Types<'a>,
    steps: usize,
    pub fields: Vec<RawField>,
    pub left_out: Vec<(String, String)>,
}

impl<'t, 'a> Expander<'t, 'a> {
    pub fn new(types: &'t Types<'a>) -> Self {
        Self::begun(types, 0)
    }

    /// One that has so many steps behind it.
    pub fn begun(types: &'t Types<'a>, steps: usize) -> Self {
        Self { types, steps, fields: Vec::new(), left_out: Vec::new() }
    }

    pub fn steps(&self) -> usize {
        self.steps
    }

    /// The same behind further steps.
    pub fn going_on(self, steps: usize) -> Self {
        Self { steps, ..self }
    }

    /// Where a field lies that is an integer.
    pub fn integer(&self, name: &str) -> Option<NumberPlace> {
        let is_integer = |field: &&RawField| matches!(field.kind, FieldKind::Uint | FieldKind::Int);
        let found = self.fields.iter().find(|field| field.name == name).filter(is_integer);
        found.map(|field| NumberPlace { offset: field.offset, len: field.len, order: field.order })
    }

    /// Says that no field shows this.
    pub fn leave_out(&mut self, name: String, why: impl Into<String>) {
        self.left_out.push((name, why.into()));
    }

    /// Adds the fields of a type, and returns its bytes.
    pub fn expand_named(&mut self, of: &str, name: &str, place: Place<'a>) -> Result<usize, String> {
        if let Some(node) = self.types.named.get(of).copied() {
            return self.expand(node, name, place);
        }
        match Primitive::of(of) {
            Some(primitive) => self.plain(primitive, None, name, place),
            None => {
                Err(format!("type '{}' is not in <types>: add it, or correct its name", of.escape_debug()))
            }
        }
    }

    fn expand(&mut self, node: Node<'a, 'a>, name: &str, place: Place<'a>) -> Result<usize, String> {
        self.steps += 1;
        if place.depth > DEPTH_MAX || self.steps > STEPS_MAX {
            return Err("its types have too many types in one another: does one have itself?".into());
        }
        let since = number(node, "sinceVersion")?.unwrap_or(0).max(place.since);
        let presence = place.presence.or(node.attribute("presence"));
        let place = Place { since, presence, ..place };
        match node.tag_name().name() {
            "type" => {
                let of = node.attribute("primitiveType").unwrap_or_default();
                let primitive = Primitive::of(of);
                let primitive = primitive.ok_or_else(|| {
                    format!(
                        "primitiveType '{}': write one of the standard, such as uint32",
                        of.escape_debug()
                    )
                })?;
                self.plain(primitive, Some(node), name, place)
            }
            "enum" => self.named_numbers(node, name, place, FieldKind::Enum),
            "set" => self.named_numbers(node, name, place, FieldKind::Set),
            "composite" => self.composite(node, name, place),
            "ref" => {
                let of = node.attribute("type").ok_or("a <ref> has no type: give it one")?;
                self.expand_named(of, name, Place { depth: place.depth + 1, ..place })
            }
            other => Err(format!("<{other}> is no type: write type, enum, set or composite")),
        }
    }

    /// Adds a field of numbers or letters; `node` is what the schema says of it.
    fn plain(
        &mut self,
        primitive: Primitive,
        node: Option<Node<'a, 'a>>,
        name: &str,
        place: Place<'a>,
    ) -> Result<usize, String> {
        let count = node.map(|node| number::<usize>(node, "length")).transpose()?.flatten().unwrap_or(1);
        if place.presence == Some("constant") {
            self.leave_out(name.to_owned(), "a constant, which is not in the payload");
            return Ok(0);
        }
        let len = primitive.len().saturating_mul(count);
        if count == 0 {
            return Ok(0); // the bytes of data, behind their length
        }
        if len > PAYLOAD_LEN_MAX {
            return Err(format!("length {count}: the longest message has {PAYLOAD_LEN_MAX} bytes"));
        }
        if count > 1 && primitive != Primitive::Char {
            self.leave_out(name.to_owned(), format!("{count} numbers under one name"));
            return Ok(len);
        }
        let written = node.and_then(|node| node.attribute("nullValue"));
        let absent = match written {
            Some(text) if primitive != Primitive::Char => primitive.parse(text)?,
            _ => primitive.null(),
        };
        let null = (place.presence == Some("optional")).then_some(absent);
        let kind = primitive.kind();
        self.push(RawField { len, null, absent: Some(absent), ..self.raw(name, kind, place) });
        Ok(len)
    }

    fn raw(&self, name: &str, kind: FieldKind, place: Place<'_>) -> RawField {
        RawField {
            name: name.to_owned(),
            offset: place.offset,
            len: 0,
            kind,
            decimals: 0,
            names: BTreeMap::new(),
            padding: FieldPadding::Zeros,
            order: self.types.order,
            null: None,
            absent: None,
            since: place.since,
        }
    }

    fn push(&mut self, field: RawField) {
        self.fields.push(field);
    }

    /// Adds an enum or a set.
    fn named_numbers(
        &mut self,
        node: Node<'a, 'a>,
        name: &str,
        place: Place<'a>,
        kind: FieldKind,
    ) -> Result<usize, String> {
        let primitive = self.types.encoding(node)?;
        if place.presence == Some("constant") {
            self.leave_out(name.to_owned(), "a constant, which is not in the payload");
            return Ok(0);
        }
        let (mut names, mut taken) = (BTreeMap::new(), BTreeSet::new());
        for value in node.children().filter(Node::is_element) {
            let (label, text) = (name_of(value)?, value.text().unwrap_or_default().trim());
            let wrong = |what: String| format!("{kind} '{label}': {what}", kind = kind.word());
            let number = match kind {
                FieldKind::Set => {
                    let bit = text.parse::<u64>().ok().filter(|bit| *bit < 8 * primitive.len() as u64);
                    bit.ok_or_else(|| wrong(format!("'{}' is no bit of it", text.escape_debug())))?
                }
                _ => primitive.parse(text).map_err(wrong)?,
            };
            let label = unique(snake(label), &number.to_string(), &mut taken);
            names.entry(number).or_insert(label);
        }
        let absent = if kind == FieldKind::Set { 0 } else { primitive.null() };
        let len = primitive.len();
        self.push(RawField { len, names, absent: Some(absent), ..self.raw(name, kind, place) });
        Ok(len)
    }

    /// Adds the members of a composite, each by its name behind that of the field.
    fn composite(&mut self, node: Node<'a, 'a>, name: &str, place: Place<'a>) -> Result<usize, String> {
        let (begin, left_out) = (self.fields.len(), self.left_out.len());
        let (mut next, mut constants) = (0, Vec::new());
        let presence = place.presence.filter(|presence| *presence == "optional");
        for member in node.children().filter(Node::is_element) {
            let label = snake(name_of(member)?);
            let offset = number::<usize>(member, "offset")?.unwrap_or(next);
            if offset > PAYLOAD_LEN_MAX {
                return Err(format!("offset {offset}: the longest message has {PAYLOAD_LEN_MAX} bytes"));
            }
            if member.attribute("presence") == Some("constant") {
                constants.push((label.clone(), member.text().unwrap_or_default().trim()));
            }
            let full = if name.is_empty() { label } else { format!("{name}_{label}") };
            let offset_in = place.offset.saturating_add(offset);
            let depth = place.depth + 1;
            let own = member.attribute("presence").or(presence);
            let len =
                self.expand(member, &full, Place { offset: offset_in, presence: own, depth, ..place })?;
            next = next.max(offset.saturating_add(len));
        }
        if let [mantissa] = &mut self.fields[begin..]
            && let [(label, exponent)] = &constants[..]
            && label == "exponent"
            && self.left_out.len() == left_out + 1
            && let Some(decimals) = exponent.parse::<i8>().ok().and_then(|exponent| exponent.checked_neg())
            && (0..=PRICE_DIGITS as i8).contains(&decimals)
            && let Some(kind) = match mantissa.kind {
                FieldKind::Int => Some(FieldKind::Decimal),
                FieldKind::Uint => Some(FieldKind::Price),
                _ => None,
            }
        {
            (mantissa.kind, mantissa.decimals, mantissa.name) = (kind, decimals as u8, name.to_owned());
            self.left_out.pop(); // the exponent is in the number
        }
        Ok(next)
    }
}
