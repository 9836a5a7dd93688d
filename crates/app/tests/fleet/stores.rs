//! The stores in which a cell may be kept, for tests that hold on each of them.

use adapters_redis::testing::{Appendonly, Options as Redis, Server};

use crate::fleet::Options;

/// Where the cell of a test is kept.
pub(crate) enum Store {
    /// In the folder of the one server that there is.
    Embedded,
    /// On a redis-server of its own, which has written all that it answers.
    Redis(Server),
}

impl Store {
    pub(crate) fn redis() -> Self {
        Self::Redis(Redis::new().appendonly(Appendonly::Always).start())
    }

    /// The options of a server on it.
    pub(crate) fn options(&self) -> Options {
        let store = match self {
            Self::Embedded => None,
            Self::Redis(redis) => Some(redis.url()),
        };
        Options { store, ..Options::default() }
    }
}

/// Makes two tests of each function of a [`Store`] that is named: `embedded::NAME` and `redis::NAME`.
macro_rules! on_each_store {
    ($($test:ident),+ $(,)?) => {
        mod embedded {
            $(#[test] fn $test() { super::$test(&crate::stores::Store::Embedded); })+
        }

        mod redis {
            $(#[test] fn $test() { super::$test(&crate::stores::Store::redis()); })+
        }
    };
}
