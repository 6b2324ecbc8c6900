//! Strategies against executions between own orders.

use crate::field::codes;

/// The prevention of executions between own orders (Appendix A, tag 29; 3.5). Other codecs have
/// the letters of firm and organization alone; those of affiliates and accounts are of revision 1.05.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[repr(u8)]
pub enum AiqStrategy {
    /// As the port is set up.
    PortDefault = b'*',
    /// They execute.
    Disabled = b'N',
    /// Same firm: both are reduced, by a message `C`.
    FirmDecrementSilent = b'Y',
    /// Same firm: both are reduced, by a message `D`.
    FirmDecrement = b'D',
    /// Same firm: the older is canceled.
    FirmCancelOldest = b'O',
    /// Same firm: the newer is canceled.
    FirmCancelNewest = b'W',
    /// Same firm: as the order that takes liquidity has it.
    FirmUseRemover = b'R',
    /// Same organization: both are reduced, by a message `C`.
    OrgDecrementSilent = b'y',
    /// Same organization: both are reduced, by a message `D`.
    OrgDecrement = b'd',
    /// Same organization: the older is canceled.
    OrgCancelOldest = b'o',
    /// Same organization: the newer is canceled.
    OrgCancelNewest = b'w',
    /// Same organization: as the order that takes liquidity has it.
    OrgUseRemover = b'r',
    /// Same affiliate: both are reduced, by a message `C`.
    AffiliateDecrementSilent = b'Z',
    /// Same affiliate: both are reduced, by a message `D`.
    AffiliateDecrement = b'E',
    /// Same affiliate: the older is canceled.
    AffiliateCancelOldest = b'P',
    /// Same affiliate: the newer is canceled.
    AffiliateCancelNewest = b'X',
    /// Same affiliate: as the order that takes liquidity has it.
    AffiliateUseRemover = b'S',
    /// Same account, whichever firm: both are reduced, by a message `C`.
    AnyDecrementSilent = b'0',
    /// Same account, whichever firm: both are reduced, by a message `D`.
    AnyDecrement = b'1',
    /// Same account, whichever firm: the older is canceled.
    AnyCancelOldest = b'2',
    /// Same account, whichever firm: the newer is canceled.
    AnyCancelNewest = b'4',
    /// Same account, whichever firm: as the order that takes liquidity has it.
    AnyUseRemover = b'5',
}
codes!(u8 AiqStrategy {
    PortDefault,
    Disabled,
    FirmDecrementSilent,
    FirmDecrement,
    FirmCancelOldest,
    FirmCancelNewest,
    FirmUseRemover,
    OrgDecrementSilent,
    OrgDecrement,
    OrgCancelOldest,
    OrgCancelNewest,
    OrgUseRemover,
    AffiliateDecrementSilent,
    AffiliateDecrement,
    AffiliateCancelOldest,
    AffiliateCancelNewest,
    AffiliateUseRemover,
    AnyDecrementSilent,
    AnyDecrement,
    AnyCancelOldest,
    AnyCancelNewest,
    AnyUseRemover,
});
