//! Groups and data of Simple Binary Encoding.

use crate::sbe::{FILLS, fills, read};
use lockstep_schema::{FieldKind, PartForm, PayloadSchema};
use std::fmt::Write as _;

/// Two messages of the examples in the standard (chapter 7), with their ids, places and types.
const STANDARD: &str = r#"<sbe:messageSchema xmlns:sbe="s" package="Examples" id="91" byteOrder="littleEndian">
<types>
  <composite name="messageHeader">
    <type name="blockLength" primitiveType="uint16"/><type name="templateId" primitiveType="uint16"/>
    <type name="schemaId" primitiveType="uint16"/><type name="version" primitiveType="uint16"/>
  </composite>
  <composite name="groupSizeEncoding">
    <type name="blockLength" primitiveType="uint16"/><type name="numInGroup" primitiveType="uint16"/>
  </composite>
  <composite name="Px">
    <type name="mantissa" presence="optional" primitiveType="int64"/>
    <type name="exponent" presence="constant" primitiveType="int8">-3</type>
  </composite>
  <composite name="Qty">
    <type name="mantissa" primitiveType="int32"/>
    <type name="exponent" presence="constant" primitiveType="int8">0</type>
  </composite>
  <composite name="DATA">
    <type name="length" primitiveType="uint16"/><type name="varData" length="0" primitiveType="uint8"/>
  </composite>
  <composite name="MonthYear">
    <type name="year" primitiveType="uint16"/><type name="month" primitiveType="uint8"/>
    <type name="day" primitiveType="uint8" presence="optional"/>
    <type name="week" primitiveType="uint8" presence="optional"/>
  </composite>
  <type name="Id" length="8" primitiveType="char"/>
</types>
<sbe:message name="ExecutionReport" id="98" blockLength="42">
  <field name="OrderID" id="37" type="Id"/><field name="ExecID" id="17" type="Id"/>
  <field name="ExecType" id="150" type="char"/><field name="OrdStatus" id="39" type="char"/>
  <field name="Symbol" id="55" type="Id"/><field name="MaturityMonthYear" id="200" type="MonthYear"/>
  <field name="Side" id="54" type="char"/><field name="LeavesQty" id="151" type="Qty"/>
  <field name="CumQty" id="14" type="Qty"/><field name="TradeDate" id="75" type="uint16"/>
  <group name="FillsGrp" id="2112" blockLength="12" dimensionType="groupSizeEncoding">
    <field name="FillPx" id="1364" type="Px"/><field name="FillQty" id="1365" type="Qty"/>
  </group>
</sbe:message>
<sbe:message name="BusinessMessageReject" id="97" blockLength="9">
  <field name="RefID" id="379" type="Id"/><field name="Reason" id="380" type="uint8"/>
  <data name="Text" id="58" type="DATA" semanticType="String"/>
</sbe:message>
</sbe:messageSchema>"#;

/// The bytes of the standard's execution report, behind its framing header.
const REPORT: &str = "2a0062005b0000004f3030303030303145584543303030304631\
    47454d3400000000de0706ffff310100000006000000753e0c0002001a850100000000000200000024850100000000000400\
    0000";
/// Those of its reject.
const REJECT: &str = "090061005b0000004f52443030303031062700\
    4e6f7420617574686f72697a656420746f207472616465207468617420696e737472756d656e74";

fn bytes(hex: &str) -> Vec<u8> {
    let digits: Vec<_> =
        hex.bytes().map(|digit| char::from(digit).to_digit(16).expect("a digit") as u8).collect();
    digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}

#[test]
fn the_examples_of_the_standard_are_read_as_it_interprets_them() {
    let schema = PayloadSchema::parse(STANDARD).expect("a schema");
    assert_eq!(
        read(&schema, &bytes(REPORT)),
        "execution_report order_id=O0000001 exec_id=EXEC0000 exec_type=F ord_status=1 symbol=GEM4 \
         maturity_month_year_year=2014 maturity_month_year_month=6 side=1 leaves_qty=1 cum_qty=6 trade_date=15989 \
         fills_grp=[{fill_px:99.610,fill_qty:2},{fill_px:99.620,fill_qty:4}]"
    );
    assert_eq!(
        read(&schema, &bytes(REJECT)),
        "business_message_reject ref_id=ORD00001 reason=6 text=Not authorized to trade that instrument"
    );
}

/// A basket as another program wrote it: blocks of the schema's length and `more` bytes, up to its version.
fn basket(version: u16, more: u16) -> Vec<u8> {
    let mut bytes = [1 + more, 302, 7, version].map(u16::to_le_bytes).as_flattened().to_vec();
    let fill = |bytes: &mut Vec<u8>| bytes.resize(bytes.len() + usize::from(more), 0xee);
    bytes.push(b'1');
    fill(&mut bytes);
    let is_new = version >= 2;
    let leg_len = if is_new { 9 } else { 1 } + more;
    bytes.extend([leg_len, 2].map(u16::to_le_bytes).as_flattened());
    for (side, px, accounts) in [(b'2', 1_500i64, &["AB", ""][..]), (b'1', -1, &[])] {
        bytes.push(side);
        if is_new {
            bytes.extend(px.to_le_bytes());
        }
        fill(&mut bytes);
        bytes.extend([2 + more as u8, 0xaa, 0xaa, accounts.len() as u8]);
        for account in accounts {
            bytes.extend(258u16.to_le_bytes());
            fill(&mut bytes);
            bytes.push(account.len() as u8);
            bytes.extend(account.as_bytes());
        }
    }
    if is_new {
        bytes.extend([4 + more, 1].map(u16::to_le_bytes).as_flattened());
        bytes.extend(0.5f32.to_le_bytes());
        fill(&mut bytes);
    }
    bytes.extend([3, 0, 0xff, 0, 1]);
    if is_new {
        bytes.extend("\u{5}\u{fc}€".as_bytes());
    }
    bytes
}

const NEW: &str = "basket side=buy \
    legs=[{md_allocs:[{account:AB,qty:258},{account:,qty:258}],px:1.500,side:sell},\
    {md_allocs:[],px:-0.001,side:buy}] hedges=[{ratio:0.5}] raw=ff0001 remark=\u{fc}€";

#[test]
fn entries_have_groups_and_data_of_their_own_and_what_a_version_lacks_has_no_value() {
    let schema = fills();
    assert_eq!(read(&schema, &basket(2, 0)), NEW);
    assert_eq!(read(&schema, &basket(9, 3)), NEW, "blocks of a newer program are longer");
    let old = NEW.replace("1.500", "null").replace("-0.001", "null").replace(" hedges=[{ratio:0.5}]", "");
    assert_eq!(read(&schema, &basket(1, 0)), old.split(" remark").next().expect("a line"));
}

#[test]
fn a_part_that_does_not_end_in_the_payload_has_no_value_nor_have_those_behind_it() {
    let schema = fills();
    let whole = basket(2, 0);
    for len in 0..whole.len() {
        let cut = &whole[..len];
        let Ok(message) = schema.message(cut) else { continue };
        let values = message.fields().skip(1).map(|(.., value)| value.is_some());
        let values: Vec<_> = values.collect();
        assert!(!values[3] && values.is_sorted_by(|before, behind| before >= behind), "{len}: {values:?}");
    }
    let changed = |at: usize, byte: u8| {
        let mut bytes = whole.clone();
        bytes[at] = byte;
        read(&schema, &bytes)
    };
    assert_eq!(changed(12, 0xff), "basket side=buy", "more entries than bytes");
    // Entries of no bytes would be as many as a number can say.
    let mut none = whole[..9].to_vec();
    none.extend([1, 0, 0, 0, 0, 0, 0xff, 0xff]);
    none.extend([0; 40]);
    assert_eq!(read(&schema, &none), "basket side=buy legs=[]");
    let at = whole.len() - 5;
    let text = changed(at, 0xff);
    assert!(text.ends_with("raw=ff0001"), "a text that is not UTF-8: {text}");
}

#[test]
fn a_schema_says_where_groups_and_data_stand() {
    let schema = fills();
    let message = schema.messages().find(|message| message.name == "basket").expect("a message");
    assert_eq!((message.fixed_len, message.len, message.left_out.len()), (9, 9 + 4 + 4 + 2 + 1, 0));
    let kinds: Vec<_> = message.parts.iter().map(|part| schema.columns[part.column].kind).collect();
    assert_eq!(kinds, [FieldKind::Group, FieldKind::Group, FieldKind::Bytes, FieldKind::Utf8]);
    let PartForm::Group(legs) = &message.parts[0].form else { panic!("a group") };
    let names: Vec<_> = legs.columns.iter().map(|column| &*column.name).collect();
    assert_eq!((names, legs.block_len), (vec!["side", "px", "md_allocs"], 9));
}

#[test]
fn groups_and_data_that_cannot_be_are_refused_with_their_line_and_the_remedy() {
    let deep = (0..9).fold("<field name='x' id='1' type='uint8'/>".to_owned(), |inner, depth| {
        format!("<group name='g{depth}' id='1'>{inner}</group>")
    });
    let mut many = String::new();
    for number in 0..20_000 {
        let _ = write!(many, "<group name='m{number}' id='1'><field name='x' id='1' type='uint8'/></group>");
    }
    let leg = "<group name=\"legs\" id=\"2\">";
    for (from, to, reason) in [
        (
            leg,
            "<group name=\"legs\" id=\"2\" dimensionType=\"Id\">",
            "'legs': the composite 'Id' has no blockLength that is an integer: add it",
        ),
        (leg, "<group id=\"2\">", "it has no name: give it one"),
        (
            leg,
            "<group name=\"legs\" id=\"2\" blockLength=\"4\">",
            "'legs': its fields take 9 bytes, and blockLength is 4",
        ),
        (
            leg,
            "<group name=\"legs\" id=\"2\" dimensionType=\"smallGroup\" blockLength=\"256\">",
            "'legs': its block has 256 bytes, more than blockLength of 'smallGroup' can say",
        ),
        ("id=\"10\" type=\"Note\"/>", "id=\"10\"/>", "'raw': it has no type: give it one"),
        (
            "id=\"10\" type=\"Note\"/>",
            "id=\"10\" type=\"Party\"/>",
            "'raw': the composite 'Party' has no length that is an integer: add it",
        ),
        (
            "<data name=\"remark\" id=\"11\"",
            "<field name=\"late\" id=\"12\" type=\"uint8\"/><data name=\"remark\" id=\"11\"",
            "'late': a <field> stands behind what follows it in a payload: fields are first, groups are next, data is last",
        ),
        (
            "<data name=\"remark\" id=\"11\"",
            "<group name=\"late\" id=\"12\"/><data name=\"remark\" id=\"11\"",
            "'late': a <group> stands behind",
        ),
        (
            "<field name=\"ratio\" id=\"9\" type=\"float\"/>",
            &*deep,
            "groups stand in one another 8 deep at most: make it a message",
        ),
        (
            "<field name=\"ratio\" id=\"9\" type=\"float\"/>",
            "<field name=\"ratio\" id=\"9\" type=\"none\"/>",
            "field 'ratio': type 'none' is not in <types>",
        ),
        (
            "<field name=\"ratio\" id=\"9\" type=\"float\"/>",
            &*many,
            "it ends beyond 65536 bytes, the longest message",
        ),
    ] {
        assert!(FILLS.contains(from), "{from}");
        let (before, basket) = FILLS.split_once("\"Basket\"").expect("the message");
        let text = format!("{before}\"Basket\"{}", basket.replacen(from, to, 1));
        let error = PayloadSchema::parse(&text).map(drop).expect_err(reason).to_string();
        assert!(error.contains(reason) && error.starts_with("line "), "{error}\nwanted: {reason}");
    }
}
