//! A block of fields, and what stands behind it: of a message, or of an entry of a group.

use super::types::{Expander, Place, RawField, Types};
use super::{name_of, number, snake};
use crate::parts::{DataPlace, GROUP_DEPTH_MAX, GroupDimension};
use crate::{NumberPlace, beyond, is_beyond};
use roxmltree::Node;

/// The composite before each group, unless the group names another one.
const DIMENSION_TYPE: &str = "groupSizeEncoding";
/// The member of data's composite that is the data.
const DATA: &str = "varData";
/// Character encodings whose text is UTF-8 as well.
const TEXTS: [&str; 3] = ["UTF-8", "US-ASCII", "ASCII"];

/// A block before it has columns.
pub struct RawBlock {
    pub fields: Vec<RawField>,
    pub parts: Vec<RawPart>,
    pub left_out: Vec<(String, String)>,
    /// Where it ends.
    pub end: usize,
    /// Bytes behind it while groups and data are empty.
    pub tail: usize,
}

/// A part before it has a column.
pub struct RawPart {
    pub name: String,
    pub since: u64,
    pub form: RawForm,
}

pub enum RawForm {
    Group(RawBlock, GroupDimension),
    Data(DataPlace),
}

/// The error, and its place.
pub type Wrong<'a> = (Node<'a, 'a>, String);

/// Reads blocks. All of one message have a limit of steps in common.
pub struct BlockReader<'t, 'a> {
    types: &'t Types<'a>,
    steps: usize,
}

impl<'t, 'a> BlockReader<'t, 'a> {
    pub fn new(types: &'t Types<'a>) -> Self {
        Self { types, steps: 0 }
    }

    /// The block of a message or a group, whose fields begin at `begin`.
    pub fn read(&mut self, of: Node<'a, 'a>, begin: usize, depth: usize) -> Result<RawBlock, Wrong<'a>> {
        let mut expander = Expander::begun(self.types, self.steps);
        let (mut next, mut tail, mut parts) = (begin, 0, Vec::<RawPart>::new());
        for node in of.children().filter(Node::is_element) {
            let at_node = |what| (node, what);
            let tag = node.tag_name().name();
            let is_before = |part: &RawPart| tag == "field" || matches!(part.form, RawForm::Data(_));
            if matches!(tag, "field" | "group") && parts.last().is_some_and(is_before) {
                let what = format!(
                    "a <{tag}> stands behind what follows it in a payload: fields are first, groups are next, data is last"
                );
                return Err((node, what));
            }
            match tag {
                "field" => next = block_field(&mut expander, node, begin, next).map_err(at_node)?,
                "group" => {
                    self.steps = expander.steps();
                    let (part, len) = self.group(node, depth)?;
                    expander = expander.going_on(self.steps);
                    tail += len;
                    parts.push(part);
                }
                "data" => {
                    let place = self.data(node).map_err(at_node)?;
                    tail += place.header_len;
                    parts.push(part(node, RawForm::Data(place)).map_err(at_node)?);
                }
                _ => {}
            }
        }
        let at_block = |what| (of, what);
        let wanted = number::<usize>(of, "blockLength").map_err(at_block)?;
        let end = wanted.map_or(next, |len| begin.saturating_add(len));
        if end < next {
            let (fields, wanted) = (next - begin, end - begin);
            return Err((of, format!("its fields take {fields} bytes, and blockLength is {wanted}")));
        }
        if is_beyond(end, tail) {
            return Err((of, beyond()));
        }
        self.steps = expander.steps();
        let Expander { fields, left_out, .. } = expander;
        Ok(RawBlock { fields, parts, left_out, end, tail })
    }

    /// A group, and the bytes before its entries.
    fn group(&mut self, node: Node<'a, 'a>, depth: usize) -> Result<(RawPart, usize), Wrong<'a>> {
        let at_node = |what| (node, what);
        if depth == GROUP_DEPTH_MAX {
            let what =
                format!("groups stand in one another {GROUP_DEPTH_MAX} deep at most: make it a message");
            return Err((node, what));
        }
        let of = node.attribute("dimensionType").unwrap_or(DIMENSION_TYPE);
        let mut expander = Expander::new(self.types);
        let len = expander.expand_named(of, "", Place::default()).map_err(at_node)?;
        if is_beyond(0, len) {
            return Err((node, beyond()));
        }
        let place = |member: &str| {
            let lacks = || format!("the composite '{of}' has no {member} that is an integer: add it");
            expander.integer(&snake(member)).ok_or_else(lacks).map_err(at_node)
        };
        let (block_len, count) = (place("blockLength")?, place("numInGroup")?);
        let block = self.read(node, 0, depth + 1)?;
        if block_len.len < 8 && block.end >> (8 * block_len.len) != 0 {
            let what = format!("its block has {} bytes, more than blockLength of '{of}' can say", block.end);
            return Err((node, what));
        }
        let dimension = GroupDimension { len, block_len, count };
        Ok((part(node, RawForm::Group(block, dimension)).map_err(at_node)?, len))
    }

    /// Where the length of data stands, and what it is.
    fn data(&self, node: Node<'a, 'a>) -> Result<DataPlace, String> {
        let of = node.attribute("type").ok_or("it has no type: give it one")?;
        let mut expander = Expander::new(self.types);
        let whole = expander.expand_named(of, "", Place::default())?;
        let lacks = || format!("the composite '{of}' has no length that is an integer: add it");
        let length: NumberPlace = expander.integer("length").ok_or_else(lacks)?;
        let data = snake(DATA);
        // Some write no `length="0"` there, which says that the length is in the payload.
        let stands = expander.fields.iter().find(|field| field.name == data);
        let header_len = stands.map_or(whole, |field| field.offset);
        if length.offset + length.len > header_len {
            return Err(format!("the composite '{of}' has its length behind its data: put length first"));
        }
        if is_beyond(0, header_len) {
            return Err(beyond());
        }
        let member = self.types.member(of, DATA);
        let encoding = member.and_then(|member| member.attribute("characterEncoding"));
        let is_text = match encoding {
            Some(encoding) => TEXTS.iter().any(|text| text.eq_ignore_ascii_case(encoding.trim())),
            None => {
                member.and_then(|member| member.attribute("primitiveType")) == Some("char")
                    || node.attribute("semanticType") == Some("String")
            }
        };
        Ok(DataPlace { header_len, length, is_text })
    }
}

fn part(node: Node<'_, '_>, form: RawForm) -> Result<RawPart, String> {
    let since = number(node, "sinceVersion")?.unwrap_or(0);
    let name = node.attribute("name").filter(|name| !name.is_empty()).ok_or("it has no name: give it one")?;
    Ok(RawPart { name: snake(name), since, form })
}

/// The end of a field in the block, which is added.
fn block_field<'a>(
    expander: &mut Expander<'_, 'a>,
    node: Node<'a, 'a>,
    begin: usize,
    next: usize,
) -> Result<usize, String> {
    let name = snake(name_of(node)?);
    let offset = match number::<usize>(node, "offset")? {
        Some(offset) => begin.saturating_add(offset),
        None => next,
    };
    let place = Place {
        offset,
        presence: node.attribute("presence"),
        since: number(node, "sinceVersion")?.unwrap_or(0),
        depth: 0,
    };
    let of = node.attribute("type").ok_or("it has no type: give it one")?;
    let len = expander.expand_named(of, &name, place)?;
    if is_beyond(offset, len) {
        return Err(beyond());
    }
    Ok(next.max(offset + len))
}
