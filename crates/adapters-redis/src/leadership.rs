//! One planner a cell.

use async_trait::async_trait;
use domain::id::{CellName, PlannerId, Stamp, Term};
use domain::model::Mandate;
use domain::model::leadership::AcquireOutcome;
use ports::{Leadership, PortError, PortResult};
use serde::{Deserialize, Serialize};

use crate::RedisPorts;
use crate::connection::Role;
use crate::store::{Fenced, admitted, mark};

#[derive(Serialize)]
struct Acquire<'a> {
    planner: &'a str,
    expected: Option<(u64, u64)>,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Acquired<'a> {
    Acquired((u64, u64, u64)),
    #[serde(borrow)]
    Held((&'a str, u64, u64)),
}

#[derive(Serialize)]
struct Renew<'a> {
    mandate: Fenced<'a>,
    resigns: bool,
}

impl RedisPorts {
    async fn renew_or_resign(&self, mandate: &Mandate, resigns: bool) -> PortResult<()> {
        let renew = Renew { mandate: Fenced::by(mandate), resigns };
        let answer = self.store.run(Role::Planner, &mandate.cell, &self.store.scripts.renew, &renew).await?;
        admitted(answer.read()?)
    }
}

#[async_trait]
impl Leadership for RedisPorts {
    async fn acquire(
        &self,
        cell: &CellName,
        planner: &PlannerId,
        expected: Option<(Term, Stamp)>,
    ) -> PortResult<AcquireOutcome> {
        let acquire = Acquire { planner: planner.as_str(), expected: expected.map(|(term, stamp)| (term.0, stamp.0)) };
        let answer = self.store.run(Role::Planner, cell, &self.store.scripts.acquire, &acquire).await?;
        Ok(match answer.read()? {
            Acquired::Acquired((term, history, revision)) => AcquireOutcome::Acquired(Mandate {
                cell: cell.clone(),
                planner: planner.clone(),
                term: Term(term),
                mark: mark((history, revision)),
            }),
            Acquired::Held((planner, term, stamp)) => AcquireOutcome::Held {
                planner: PlannerId::new(planner).map_err(|bad| PortError::corrupt("the planner", bad))?,
                term: Term(term),
                stamp: Stamp(stamp),
            },
        })
    }

    async fn renew(&self, mandate: &Mandate) -> PortResult<()> {
        self.renew_or_resign(mandate, false).await
    }

    async fn resign(&self, mandate: &Mandate) -> PortResult<()> {
        match self.renew_or_resign(mandate, true).await {
            // Whoever lost the cell has nothing to leave.
            Err(PortError::StaleTerm | PortError::Rewound) => Ok(()),
            resigned => resigned,
        }
    }
}
