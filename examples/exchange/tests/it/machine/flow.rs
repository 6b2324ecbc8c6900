//! Clients' messages drawn from a seed: orders that meet each other, and everything else between them.

use super::venue::{encoded, order, replace};
use lockstep_machine::Twice;
use ouch50::codes::{AiqStrategy, Display, PostOnly, TimeInForce};
use ouch50::{
    AccountQuery, CancelOrder, DisableOrderEntry, EnableOrderEntry, EnterOrder, Firm, MassCancel,
    ModifyOrder, Options, Price, Side, Symbol,
};

/// SplitMix64.
pub struct Dice(pub u64);

impl Dice {
    pub fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut x = self.0;
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (x ^ (x >> 31)) % limit.max(1)
    }

    fn one_in(&mut self, limit: u64) -> bool {
        self.below(limit) == 0
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len() as u64) as usize]
    }
}

pub struct Flow {
    /// The last number of each account.
    numbers: Vec<u32>,
}

impl Flow {
    pub fn new(accounts: usize) -> Self {
        Self { numbers: vec![0; accounts] }
    }

    fn next(&mut self, account: usize) -> u32 {
        self.numbers[account] += 1;
        self.numbers[account]
    }

    /// One of the account's last numbers: mostly of an open order.
    fn recent(&self, dice: &mut Dice, account: usize) -> u32 {
        self.numbers[account].saturating_sub(dice.below(12) as u32)
    }

    fn enter(&mut self, dice: &mut Dice, account: usize) -> EnterOrder {
        let side = dice.pick(&[Side::Buy, Side::Buy, Side::Sell, Side::SellShort]);
        let price = 99_500 + 100 * dice.below(11);
        let mut order = order(self.next(account), side, 10 * (1 + dice.below(30) as u32), price);
        order.symbol = Symbol::new(if dice.one_in(4) { b"XYZ" } else { b"ABC" }).expect("ASCII");
        if dice.one_in(12) {
            order.price = Price::MARKET;
        }
        match dice.below(12) {
            0 | 1 => order.time_in_force = TimeInForce::ImmediateOrCancel,
            2 => {
                order.time_in_force = TimeInForce::ImmediateOrCancel;
                order.options.min_quantity = Some(order.quantity);
            }
            3 => order.options.post_only = Some(PostOnly::PostOnly),
            4 | 5 => order.options.max_floor = Some(10),
            6 => order.display = Display::Hidden,
            _ => {}
        }
        if dice.one_in(2) {
            order.options.aiq_strategy = Some(dice.pick(&[
                AiqStrategy::FirmCancelNewest,
                AiqStrategy::AnyCancelOldest,
                AiqStrategy::OrgDecrementSilent,
            ]));
        }
        order
    }

    /// The next message, and its account, from 1.
    pub fn message(&mut self, dice: &mut Dice) -> (u32, Vec<u8>) {
        let account = dice.below(self.numbers.len() as u64) as usize;
        let options = Options::NONE;
        let bytes = match dice.below(40) {
            0..4 => {
                let (user_ref_num, quantity) = (self.recent(dice, account), 10 * dice.below(12) as u32);
                encoded(CancelOrder { user_ref_num, quantity, options })
            }
            4..10 => {
                let original = self.recent(dice, account);
                let (quantity, price) = (10 * dice.below(30) as u32, 99_500 + 100 * dice.below(11));
                let mut new = replace(original, self.next(account), quantity, price);
                new.options.max_floor = dice.one_in(4).then_some(20);
                encoded(new)
            }
            10..12 => {
                let (user_ref_num, quantity) = (self.recent(dice, account), 10 * dice.below(25) as u32);
                let side = dice.pick(&[Side::Buy, Side::Sell, Side::SellShort]);
                encoded(ModifyOrder { user_ref_num, side, quantity, options })
            }
            12 if dice.one_in(3) => {
                let symbol = Symbol::new(dice.pick(&[b"ABC", b"XYZ", b"   "])).expect("ASCII");
                let side = dice.one_in(2).then_some(Side::Sell);
                let options = Options { side, ..options };
                let user_ref_num = self.next(account);
                encoded(MassCancel { user_ref_num, firm: Firm::BLANK, symbol, options })
            }
            13 if dice.one_in(4) => {
                let user_ref_num = self.next(account);
                encoded(DisableOrderEntry { user_ref_num, firm: Firm::BLANK, options })
            }
            14 => {
                let user_ref_num = self.next(account);
                encoded(EnableOrderEntry { user_ref_num, firm: Firm::BLANK, options })
            }
            15 => encoded(AccountQuery { options }),
            _ => encoded(self.enter(dice, account)),
        };
        (account as u32 + 1, bytes)
    }

    /// An operator's line, now and then.
    pub fn line(dice: &mut Dice) -> Option<String> {
        let line = match dice.below(400) {
            0 => "phase ABC opening-auction for 900",
            1 => "phase XYZ closing-auction for 500",
            2 => "phase * halted",
            3..12 => "phase * continuous",
            12 => "kill 2",
            13..18 => "revive 2",
            18..24 => return Some(format!("bust {}", dice.below(200))),
            24 => "phase XYZ closed",
            25 => "event Q",
            _ => return None,
        };
        Some(line.to_owned())
    }
}

#[test]
fn two_copies_of_it_never_differ() {
    use super::venue::{Venue, lines, machine};
    use lockstep_machine::{DisconnectReason, InputEvent};
    for seed in 0..20 {
        let mut venue = Venue::new(Twice::new(machine).every(7), 4);
        let (mut flow, mut dice) = (Flow::new(4), Dice(seed));
        for _ in 0..400 {
            let (account, bytes) = flow.message(&mut dice);
            lines(&venue.bytes(account, &bytes));
            if let Some(line) = Flow::line(&mut dice) {
                lines(&venue.operator(&line));
            }
            match dice.below(200) {
                0 => drop(venue.input(InputEvent::Disconnected {
                    user: "user",
                    publisher: 3,
                    reason: DisconnectReason::Broken,
                    cancels: true,
                })),
                1 => drop(venue.input(InputEvent::DayStart { name: "D" })),
                2 => drop(venue.input(InputEvent::DayEnd)),
                _ => {}
            }
            venue.wait(dice.below(100_000_000));
            assert_eq!(venue.machine.difference(), None, "seed {seed}");
            venue.machine.machine().check().unwrap_or_else(|why| panic!("seed {seed}: {why}"));
        }
    }
}
