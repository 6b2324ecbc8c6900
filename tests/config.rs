use lockstep::config::*;
#[test]
fn probe() {
    println!("{}@@@", reference());
    println!("| code | meaning |\n|---|---|");
    for c in Code::ALL { println!("| {} | {} |", c.as_str(), c.meaning()); }
    println!("@@@");
}
