//! The judge of lockstep, judged.

mod net;
