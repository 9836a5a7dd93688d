//! What works on one Redis server as on any store.

use adapters_redis::testing::{Appendonly, Options as Redis};

use crate::fleet::{Fleet, Options};

#[test]
fn a_command_runs_and_the_books_are_clean() {
    let redis = Redis::new().appendonly(Appendonly::Always).start();
    let fleet = Fleet::start_with(2, Options { store: Some(redis.url()), ..Options::default() });
    let said = fleet.stowplan(&["run", "--", "echo", "hello"]);
    assert_eq!((said.code, said.stdout.as_str()), (0, "hello\n"), "{said:?}");
    let said = fleet.stowplan(&["audit"]);
    assert_eq!(said.code, 0, "{said:?}");
}
