use lockstep_lab::cards::consensus::RotatingCoordinator;
use lockstep_lab::search::Searched;
use lockstep_lab::{Links, Model, Subject, Value};
use lockstep_testkit::lane::amount;

/// Links without an order have too many states for all of them: walks at random.
#[test]
fn it_needs_no_order_of_the_links() {
    let card = RotatingCoordinator::<Value>::CARD;
    let model = Model { links: Links::Perfect, ..card.model };
    let searched = Searched { model, asks: card.asks, dropped: None, properties: card.properties };
    assert_eq!(searched.lost_on_walks::<RotatingCoordinator<Value>>(1, amount(50_000, 1_000_000)), None);
}
