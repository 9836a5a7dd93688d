//! Failures, by what the caller does next.

/// What a failed read or write was caused by.
pub type Source = Box<dyn std::error::Error + Send + Sync>;

/// The answer of a port.
pub type PortResult<T> = Result<T, PortError>;

/// Why a port did not answer.
#[derive(Debug, thiserror::Error)]
pub enum PortError {
    /// Whether the step was made is unknown: repeat it with the same ids.
    #[error("the store is unavailable")]
    Unavailable(#[source] Source),
    /// Another planner has taken over: step down.
    #[error("another planner has taken over this cell")]
    StaleTerm,
    /// The store has started a new history: what was read from it before may be gone.
    #[error("the store has lost writes and started a new history")]
    Rewound,
    /// A row cannot be decoded: park it, tell someone.
    #[error("{what} cannot be decoded")]
    Corrupt {
        /// Which row.
        what: String,
        /// Why not.
        #[source]
        source: Source,
    },
    /// The store cannot do this at all: refuse to start.
    #[error("the store does not support {0}")]
    Unsupported(String),
}

/// Why a store is [`PortError::Unavailable`] that answers, but has no room for more. What it has goes on.
#[derive(Debug, thiserror::Error)]
#[error("the store is full: it takes in nothing new until something ends and is forgotten, or it is given more room")]
pub struct StoreFull(#[source] Source);

impl StoreFull {
    /// The store is full, as `source` says.
    pub fn new(source: impl Into<Source>) -> Self {
        Self(source.into())
    }
}

impl PortError {
    /// The store is away, because of `source`.
    pub fn unavailable(source: impl Into<Source>) -> Self {
        Self::Unavailable(source.into())
    }

    /// What happened and why, down to the first cause, in one line.
    pub fn in_full(&self) -> String {
        told(self)
    }

    /// The same for another whose call was made together with this one. What it was caused by is told as text.
    #[must_use]
    pub fn repeated(&self) -> Self {
        match self {
            Self::Unavailable(source) => match source.downcast_ref() {
                Some(StoreFull(cause)) => Self::unavailable(StoreFull::new(told(&**cause))),
                None => Self::unavailable(told(&**source)),
            },
            Self::StaleTerm => Self::StaleTerm,
            Self::Rewound => Self::Rewound,
            Self::Corrupt { what, source } => Self::corrupt(what.clone(), told(&**source)),
            Self::Unsupported(what) => Self::Unsupported(what.clone()),
        }
    }

    /// The row `what` cannot be decoded, because of `source`.
    pub fn corrupt(what: impl Into<String>, source: impl Into<Source>) -> Self {
        Self::Corrupt { what: what.into(), source: source.into() }
    }
}

/// An error and its causes, down to the first, in one line.
fn told(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |said, cause| format!("{said}: {cause}"))
}
