use domain::id::{PlannerId, Workspace};
use domain::model::leadership::AcquireOutcome;
use domain::model::placements::{Commit, Decision, DecisionKind, Outcome};
use domain::request::{Ask, Body};
use domain::wait::Why;

use super::*;
use crate::config::RedisConfig;
use crate::testing::Server;

const NOW: Timestamp = Timestamp(1_700_000_000_000);
/// Among so many lots are some for which bytes stand that begin or end with 0 or 255.
const LOTS: usize = 1_000;
const OF_LOT: usize = 2;

fn lot(index: usize) -> LotKey {
    LotKey::Quota(Workspace::new(&format!("w{index}")).unwrap())
}

fn request(index: usize) -> Submission {
    let ask = Ask::plain(Workspace::new("default").unwrap(), 1_000, 1);
    let body = Body { command: vec!["true".to_owned()], ..Body::default() };
    Submission::new(ContainerId::new(&format!("c{index}")).unwrap(), ask, body, IfSilent::Stop)
}

#[tokio::test]
async fn a_lot_holds_its_own_and_nobody_elses() {
    let server = Server::start();
    let ports = crate::open(RedisConfig::parse(&server.url()).unwrap()).unwrap();
    let cell = CellName::new("main").unwrap();
    let acquired = ports.leadership.acquire(&cell, &PlannerId::new("planner").unwrap(), None).await.unwrap();
    let AcquireOutcome::Acquired(mandate) = acquired else { panic!("{acquired:?}") };
    ports.backlog.submit(&cell, NOW, (0..LOTS * OF_LOT).map(request).collect()).await.unwrap();

    let line = ports.backlog.next(&cell, None, LOTS * OF_LOT, Vec::new()).await.unwrap();
    let ids: Vec<_> = line.ready.iter().map(|waiting| waiting.candidate.id.clone()).collect();
    let decisions = line.ready.into_iter().enumerate().map(|(index, waiting)| Decision {
        container: waiting.candidate.id,
        attempt: waiting.candidate.attempt,
        kind: DecisionKind::Park { lot: lot(index % LOTS), why: Why::NoWorkers },
    });
    let commit = Commit { decisions: decisions.collect(), ..Commit::default() };
    let answer = ports.placements.commit(&mandate, NOW, commit).await.unwrap();
    assert!(answer.outcomes.iter().all(|outcome| *outcome == Outcome::Done));

    let wanted = (0..LOTS).map(|index| (lot(index), OF_LOT + 1)).collect();
    let line = ports.backlog.next(&cell, None, 0, wanted).await.unwrap();
    for (index, (key, members)) in line.lots.into_iter().enumerate() {
        let members: Vec<_> = members.into_iter().map(|waiting| waiting.candidate.id).collect();
        assert_eq!((key, members), (lot(index), vec![ids[index].clone(), ids[index + LOTS].clone()]));
    }
}
