//! The tags and message types in use, by their names in the specification.

/// Tag numbers.
macro_rules! tags {
    ($($name:ident = $number:literal),* $(,)?) => {$(
        #[doc = concat!("Tag ", stringify!($number), ".")]
        pub const $name: u32 = $number;
    )*};
}

tags! {
    AVG_PX = 6,
    BEGIN_SEQ_NO = 7,
    CL_ORD_ID = 11,
    CUM_QTY = 14,
    END_SEQ_NO = 16,
    EXEC_ID = 17,
    EXEC_INST = 18,
    EXEC_REF_ID = 19,
    EXEC_TRANS_TYPE = 20,
    LAST_PX = 31,
    LAST_QTY = 32,
    MSG_SEQ_NUM = 34,
    MSG_TYPE = 35,
    NEW_SEQ_NO = 36,
    ORDER_ID = 37,
    ORDER_QTY = 38,
    ORD_STATUS = 39,
    ORD_TYPE = 40,
    ORIG_CL_ORD_ID = 41,
    POSS_DUP_FLAG = 43,
    PRICE = 44,
    REF_SEQ_NUM = 45,
    RULE_80A = 47,
    SENDER_COMP_ID = 49,
    SENDING_TIME = 52,
    SIDE = 54,
    SYMBOL = 55,
    TARGET_COMP_ID = 56,
    TEXT = 58,
    TIME_IN_FORCE = 59,
    TRANSACT_TIME = 60,
    RAW_DATA = 96,
    POSS_RESEND = 97,
    ENCRYPT_METHOD = 98,
    CXL_REJ_REASON = 102,
    ORD_REJ_REASON = 103,
    HEART_BT_INT = 108,
    MIN_QTY = 110,
    MAX_FLOOR = 111,
    TEST_REQ_ID = 112,
    ORIG_SENDING_TIME = 122,
    GAP_FILL_FLAG = 123,
    RESET_SEQ_NUM_FLAG = 141,
    EXEC_TYPE = 150,
    LEAVES_QTY = 151,
    REF_TAG_ID = 371,
    REF_MSG_TYPE = 372,
    SESSION_REJECT_REASON = 373,
    EXEC_RESTATEMENT_REASON = 378,
    BUSINESS_REJECT_REF_ID = 379,
    BUSINESS_REJECT_REASON = 380,
    CXL_REJ_RESPONSE_TO = 434,
    SECONDARY_EXEC_ID = 527,
    ORDER_CAPACITY = 528,
    USERNAME = 553,
    PASSWORD = 554,
    LAST_LIQUIDITY_IND = 851,
    DEFAULT_APPL_VER_ID = 1137,
}

/// `0`.
pub const HEARTBEAT: &[u8] = b"0";
/// `1`.
pub const TEST_REQUEST: &[u8] = b"1";
/// `2`.
pub const RESEND_REQUEST: &[u8] = b"2";
/// `3`.
pub const REJECT: &[u8] = b"3";
/// `4`.
pub const SEQUENCE_RESET: &[u8] = b"4";
/// `5`.
pub const LOGOUT: &[u8] = b"5";
/// `8`.
pub const EXECUTION_REPORT: &[u8] = b"8";
/// `9`.
pub const ORDER_CANCEL_REJECT: &[u8] = b"9";
/// `A`.
pub const LOGON: &[u8] = b"A";
/// `D`.
pub const NEW_ORDER_SINGLE: &[u8] = b"D";
/// `F`.
pub const ORDER_CANCEL_REQUEST: &[u8] = b"F";
/// `G`.
pub const ORDER_CANCEL_REPLACE_REQUEST: &[u8] = b"G";
/// `j`.
pub const BUSINESS_MESSAGE_REJECT: &[u8] = b"j";
