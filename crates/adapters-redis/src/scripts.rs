//! The scripts: each is a few parts put together, and known to the server by the digest of its source.

use std::sync::LazyLock;

use deadpool_redis::redis;

mod link;

/// All scripts, put together when the first is asked for.
pub(crate) static SCRIPTS: LazyLock<Scripts> = LazyLock::new(Scripts::new);

/// A script: its name for messages, its source, and the digest by which the server knows it.
#[derive(Debug)]
pub(crate) struct Script {
    pub(crate) name: &'static str,
    pub(crate) source: String,
    /// The SHA-1 of the source, in hexadecimal.
    pub(crate) digest: String,
}

impl Script {
    pub(crate) fn of(name: &'static str, parts: &[&str]) -> Self {
        let source = parts.concat();
        let digest = redis::Script::new(&source).get_hash().to_owned();
        Self { name, source, digest }
    }

    /// A script of the cell's tables, and then of these parts.
    fn on_a_cell(name: &'static str, parts: &[&str]) -> Self {
        Self::of(name, &[&link::linked(CELL, &parts.concat())])
    }
}

const CELL: &str = include_str!("lua/cell.lua");
const STEP: &str = include_str!("lua/step.lua");
const LIFE: &str = include_str!("lua/life.lua");

macro_rules! scripts {
    (read: $($read:ident)*; write: $($write:ident)*;) => {
        /// The scripts that write, by their names.
        #[cfg(test)]
        pub(crate) const WRITING: &[&str] = &[$(stringify!($write)),*];

        /// All scripts.
        #[derive(Debug)]
        pub(crate) struct Scripts {
            $(pub(crate) $read: Script,)*
            $(pub(crate) $write: Script,)*
        }

        impl Scripts {
            fn new() -> Self {
                Self {
                    $($read: Script::on_a_cell(stringify!($read), &[include_str!(concat!("lua/", stringify!($read), ".lua"))]),)*
                    $($write: Script::on_a_cell(
                        stringify!($write),
                        &[STEP, LIFE, include_str!(concat!("lua/", stringify!($write), ".lua"))],
                    ),)*
                }
            }

            /// Each of them.
            #[cfg(feature = "testing")]
            pub(crate) fn all(&self) -> Vec<&Script> {
                vec![$(&self.$read,)* $(&self.$write,)*]
            }
        }
    };
}

scripts! {
    read: beats depth export found get heights list look next;
    write: acquire commit forget heartbeat lose register remove renew report rewind set_status stop submit take;
}
