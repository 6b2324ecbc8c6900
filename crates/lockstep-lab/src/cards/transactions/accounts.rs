//! The accounts that a process stores.

use crate::property::BALANCE_AT_START;

/// How many accounts there are at least: as many as processes of a model.
const ACCOUNTS_MIN: u8 = 3;

/// The balances of all accounts.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) struct Accounts(Vec<i8>);

impl Accounts {
    /// An account for each of `n` processes.
    pub fn new(n: u8) -> Self {
        Self(vec![BALANCE_AT_START; n.max(ACCOUNTS_MIN).into()])
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
        self.0.clone()
    }
}
