//! tools
fn main(){}
