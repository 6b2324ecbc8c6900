//! The health of a cluster as a monitor wants it.
//!
//! ```text
//!  answers of all nodes ─▶ verdict (lockstep_client), lags, spare members, keys ─▶ grades, and numbers for graphs
//! ```

mod grade;
mod look;

pub use grade::{
    Examined, HealthFinding, HealthGrade, HealthMetric, HealthReport, HealthThresholds, grade_of, lag_behind,
};
pub use look::{HealthQuery, examine};
