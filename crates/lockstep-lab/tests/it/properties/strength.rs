use lockstep_lab::property::{FIFO_ORDER, UNIFORM_TOTAL_ORDER, with_implied};

#[test]
fn what_is_implied_is_followed_to_its_end() {
    let names: Vec<_> = with_implied(&UNIFORM_TOTAL_ORDER).iter().map(|property| property.name).collect();
    let expected = ["UNIFORM TOTAL ORDER", "TOTAL ORDER", "GAPLESS TOTAL ORDER", "PAIRWISE TOTAL ORDER"];
    assert_eq!(names, expected);
    assert_eq!(with_implied(&FIFO_ORDER), [&FIFO_ORDER]);
}
