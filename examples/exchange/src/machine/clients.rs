//! Messages of clients: OUCH 5.0 in, the engine's commands, and the answers that no report of the engine is.

use super::edge::{OuchRequest, send};
use super::{ExchangeMachine, entry};
use crate::command::{ExchangeCommand, NewOrder};
use crate::output::RejectionReason;
use crate::types::{Side, Symbol, TradingPhase};
use lockstep_machine::Output;
use ouch50::codes::RejectReason;
use ouch50::{
    AccountQuery, AccountResponse, CancelOrder, CancelReject, DisableOrderEntry, DisableResponse,
    EnableOrderEntry, EnableResponse, EnterOrder, Inbound, MassCancel, MassCancelResponse, Modified,
    ModifyOrder, Options, OrderName, Rejected, ReplaceOrder,
};

impl ExchangeMachine {
    /// A message of a client.
    pub(super) fn on_ouch(&mut self, account: u32, payload: &[u8], output: &mut Output) {
        match Inbound::parse(payload) {
            Ok(Inbound::EnterOrder(ref order)) => self.on_enter(account, order, output),
            Ok(Inbound::ReplaceOrder(ref order)) => self.on_replace(account, order, output),
            Ok(Inbound::CancelOrder(ref order)) => self.on_cancel(account, order, output),
            Ok(Inbound::ModifyOrder(ref order)) => self.on_modify(account, order, output),
            Ok(Inbound::MassCancel(ref request)) => self.on_mass_cancel(account, request, output),
            Ok(Inbound::DisableOrderEntry(ref request)) => self.on_disable(account, request, output),
            Ok(Inbound::EnableOrderEntry(ref request)) => self.on_enable(account, request, output),
            Ok(Inbound::AccountQuery(ref query)) => self.on_account_query(account, query, output),
            Err(error) => match OrderName::peek(payload) {
                Some(name) => self.refuse(account, name, error.reject_reason(), output),
                None => self.ignored += 1,
            },
        }
    }

    fn on_enter(&mut self, account: u32, order: &EnterOrder, output: &mut Output) {
        let name = OrderName { user_ref_num: order.user_ref_num, cl_ord_id: order.cl_ord_id };
        match entry::new_order(account, order) {
            _ if self.disabled.contains(&account) => {
                self.refuse(account, name, RejectReason::FirmNotAuthorized, output);
            }
            Err(reason) => self.refuse(account, name, reason, output),
            Ok(new) => {
                let command = ExchangeCommand::Enter(new);
                let (rejection, _) = self.run(&command, OuchRequest::Enter(order), output);
                if let Some(reason) = rejection {
                    let is_halted = self.engine.phase_of(new.symbol) == Some(TradingPhase::Halted);
                    self.reject(account, name, reason, is_halted, output);
                }
            }
        }
    }

    fn on_replace(&mut self, account: u32, order: &ReplaceOrder, output: &mut Output) {
        let name = OrderName { user_ref_num: order.user_ref_num, cl_ord_id: order.cl_ord_id };
        let old = self.orders.get(account, order.original).copied();
        match entry::replacement(account, order, old.as_ref()) {
            _ if self.disabled.contains(&account) => {
                self.refuse(account, name, RejectReason::FirmNotAuthorized, output);
            }
            Err(reason) => self.refuse(account, name, reason, output),
            Ok(replacement) => {
                let command = ExchangeCommand::Replace(replacement);
                let (rejection, _) = self.run(&command, OuchRequest::Replace(order), output);
                if let Some(reason) = rejection {
                    // An order that rests in an instrument without trading: nothing rests in a closed one.
                    self.reject(account, name, reason, true, output);
                }
            }
        }
    }

    /// A cancel of an order that is not open, or that would not be smaller, is answered by silence: a fill
    /// may have crossed it.
    fn on_cancel(&mut self, account: u32, order: &CancelOrder, output: &mut Output) {
        let CancelOrder { user_ref_num: token, quantity, options } = *order;
        let command = ExchangeCommand::Cancel { account, token, quantity };
        if has_channel(&options) {
            self.ignored += 1;
            return;
        }
        match self.run(&command, OuchRequest::Other, output).0 {
            None => {}
            Some(RejectionReason::InvalidQuantity) => {
                let time_ns = self.time_ns();
                let message = CancelReject { time_ns, user_ref_num: token, options: Options::NONE };
                send(output, account, |out| message.write(out));
            }
            Some(_) => self.ignored += 1,
        }
    }

    /// A modification that is not possible is answered by silence.
    fn on_modify(&mut self, account: u32, request: &ModifyOrder, output: &mut Output) {
        let ModifyOrder { user_ref_num: token, side, quantity, options } = *request;
        let memo = self.orders.get(account, token).copied();
        let order = self.engine.order_of(account, token);
        let Some((memo, order)) = memo
            .zip(order)
            .filter(|(memo, _)| entry::side_of(memo.side) == entry::side_of(side) && !has_channel(&options))
        else {
            self.ignored += 1;
            return;
        };
        let size = order.executed.saturating_add(order.remaining);
        if quantity > size {
            self.ignored += 1;
        } else if quantity == size {
            self.orders.set_side(account, token, side);
            let time_ns = self.time_ns();
            let (user_ref_num, quantity, options) = (token, memo.open, Options::NONE);
            let message = Modified { time_ns, user_ref_num, side, quantity, options };
            send(output, account, |out| message.write(out));
        } else {
            let command = ExchangeCommand::Cancel { account, token, quantity };
            match self.run(&command, OuchRequest::Modify(token, side), output).0 {
                None => self.orders.set_side(account, token, side),
                Some(_) => self.ignored += 1,
            }
        }
    }

    /// The answer comes before the cancels.
    fn on_mass_cancel(&mut self, account: u32, request: &MassCancel, output: &mut Output) {
        let MassCancel { user_ref_num, firm, symbol, options } = *request;
        let wanted = (!symbol.is_blank()).then_some(Symbol(*symbol.as_bytes()));
        let is_known = wanted.is_none_or(|symbol| self.engine.phase_of(symbol).is_some());
        if !is_known || has_channel(&options) || !self.use_number(account, user_ref_num, output) {
            self.ignored += 1;
            return;
        }
        let message = MassCancelResponse { time_ns: self.time_ns(), user_ref_num, firm, symbol, options };
        send(output, account, |out| message.write(out));
        // Orders with a group are refused, so that a group's request concerns none.
        if options.group_id.is_none_or(|group| group == 0) {
            let side = options.side.map(entry::side_of);
            let command = ExchangeCommand::MassCancel { account, symbol: wanted, side };
            self.run(&command, OuchRequest::Other, output);
        }
    }

    fn on_disable(&mut self, account: u32, request: &DisableOrderEntry, output: &mut Output) {
        let DisableOrderEntry { user_ref_num, firm, options } = *request;
        if has_channel(&options) || !self.use_number(account, user_ref_num, output) {
            self.ignored += 1;
            return;
        }
        self.disabled.insert(account);
        let message = DisableResponse { time_ns: self.time_ns(), user_ref_num, firm, options };
        send(output, account, |out| message.write(out));
    }

    fn on_enable(&mut self, account: u32, request: &EnableOrderEntry, output: &mut Output) {
        let EnableOrderEntry { user_ref_num, firm, options } = *request;
        if has_channel(&options) || !self.use_number(account, user_ref_num, output) {
            self.ignored += 1;
            return;
        }
        self.disabled.remove(&account);
        let message = EnableResponse { time_ns: self.time_ns(), user_ref_num, firm, options };
        send(output, account, |out| message.write(out));
    }

    fn on_account_query(&mut self, account: u32, query: &AccountQuery, output: &mut Output) {
        let next = self.engine.next_token(account);
        let Some(next_user_ref_num) = next.filter(|_| !has_channel(&query.options)) else {
            self.ignored += 1;
            return;
        };
        let message = AccountResponse { time_ns: self.time_ns(), next_user_ref_num, options: query.options };
        send(output, account, |out| message.write(out));
    }

    /// Uses a number of the account for what is no order: the engine is given one without quantity, which it
    /// rejects, and rejected orders have used their number. Its reason.
    fn use_up(&mut self, account: u32, token: u32, output: &mut Output) -> Option<RejectionReason> {
        let order = NewOrder::limit(account, token, Symbol([b' '; 8]), Side::Buy, 0, 0);
        self.run(&ExchangeCommand::Enter(order), OuchRequest::Other, output).0
    }

    /// Whether a request's number was free.
    fn use_number(&mut self, account: u32, token: u32, output: &mut Output) -> bool {
        let reason = self.use_up(account, token, output);
        !matches!(reason, Some(RejectionReason::DuplicateToken | RejectionReason::UnknownAccount))
    }

    /// Rejects an order that the engine does not see.
    fn refuse(&mut self, account: u32, name: OrderName, reason: RejectReason, output: &mut Output) {
        match self.use_up(account, name.user_ref_num, output) {
            Some(
                general @ (RejectionReason::DuplicateToken
                | RejectionReason::UnknownAccount
                | RejectionReason::KillSwitch
                | RejectionReason::OrderRate),
            ) => self.reject(account, name, general, false, output),
            _ => self.send_rejected(account, name, reason, output),
        }
    }

    /// Answers an order that the engine has rejected.
    fn reject(
        &mut self,
        account: u32,
        name: OrderName,
        reason: RejectionReason,
        is_halted: bool,
        output: &mut Output,
    ) {
        if reason == RejectionReason::DuplicateToken {
            self.ignored += 1;
            return;
        }
        self.send_rejected(account, name, entry::reject_reason(reason, is_halted), output);
    }

    fn send_rejected(&self, account: u32, name: OrderName, reason: RejectReason, output: &mut Output) {
        let OrderName { user_ref_num, cl_ord_id } = name;
        let (time_ns, options) = (self.time_ns(), Options::NONE);
        let message = Rejected { time_ns, user_ref_num, reason, cl_ord_id, options };
        send(output, account, |out| message.write(out));
    }
}

/// Whether a message concerns one of several channels of an account: there are none here.
fn has_channel(options: &Options) -> bool {
    options.user_ref_idx.is_some_and(|channel| channel > 0)
}
