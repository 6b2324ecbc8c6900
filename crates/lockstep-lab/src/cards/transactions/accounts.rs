//! The accounts that a process stores.

use crate::property::BALANCE_AT_START;

/// How many accounts the cards have, at most: as many as processes of a model.
const ACCOUNTS: usize = 3;

/// The balances of all accounts.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) struct Accounts([i8; ACCOUNTS]);

impl Accounts {
    pub fn new() -> Self {
        Self([BALANCE_AT_START; ACCOUNTS])
    }

    pub fn balance(&self, account: u8) -> i8 {
        self.0[usize::from(account)]
    }

    pub fn set(&mut self, account: u8, balance: i8) {
        self.0[usize::from(account)] = balance;
    }

    /// Whether the account can lose this amount.
    pub fn covers(&self, account: u8, amount: u8) -> bool {
        self.balance(account) >= amount as i8
    }

    pub fn transfer(&mut self, from: u8, to: u8, amount: u8) {
        self.0[usize::from(from)] -= amount as i8;
        self.0[usize::from(to)] += amount as i8;
    }

    /// All of them, as an audit sees them.
    pub fn all(&self) -> Vec<i8> {
        self.0.to_vec()
    }
}
