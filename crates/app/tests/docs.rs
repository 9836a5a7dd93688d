//! x
#[test]
fn print() {
    println!("{}", app::observe::Metrics::default().render(None, domain::time::Timestamp(0)));
}
