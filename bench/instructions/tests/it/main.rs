//! The counting of instructions: its world does the work that it is counted for, and the budget judges.

mod count;
mod cycles;
mod frames;
mod stages;
