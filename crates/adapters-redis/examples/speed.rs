use adapters_redis::RedisConfig;
use domain::id::*;
use domain::model::leadership::AcquireOutcome;
use domain::model::placements::*;
use domain::model::workers::*;
use domain::request::*;
use domain::resources::*;
use domain::time::Timestamp;
use domain::worker::*;
use std::sync::Arc;
use std::time::Instant;

#[tokio::main]
async fn main() {
    let workers: usize = std::env::args().nth(1).unwrap().parse().unwrap();
    let batch: usize = std::env::args().nth(2).unwrap().parse().unwrap();
    let packed: usize = std::env::args().nth(3).map_or(workers, |t| t.parse().unwrap());
    let ports = adapters_redis::open(RedisConfig::parse("redis://127.0.0.1:7999").unwrap()).unwrap();
    let cell = CellName::new(&format!("speed-{:x}", std::process::id())).unwrap();
    let now = Timestamp(1_700_000_000_000);
    let spec = Arc::new(WorkerSpec::plain(
        "default".parse().unwrap(),
        "process".parse().unwrap(),
        Capacity { cpu_milli: 1_000_000, memory_mib: 1_000_000, gpu_type: None, gpu_count: 0 },
    ));
    for w in 0..workers {
        let r = Registration::plain(
            WorkerId::new(&format!("worker-{w:05}")).unwrap(),
            Incarnation(1),
            WorkerKey::new("key").unwrap(),
            spec.clone(),
        );
        ports.workers.register(&cell, now, r).await.unwrap();
    }
    let AcquireOutcome::Acquired(mandate) =
        ports.leadership.acquire(&cell, &PlannerId::new("p").unwrap(), None).await.unwrap()
    else {
        panic!()
    };
    let rounds = (20_000 / batch).max(3);
    let t = Instant::now();
    for r in 0..rounds {
        let items = (0..batch)
            .map(|i| {
                Submission::new(
                    ContainerId::new(&format!("job-{r:04}-{i:05}")).unwrap(),
                    Ask::plain("default".parse().unwrap(), 1000, 512),
                    Body { command: vec!["sleep".into(), "60".into()], ..Body::default() },
                    IfSilent::Stop,
                )
            })
            .collect();
        ports.backlog.submit(&cell, now, items).await.unwrap();
    }
    let submit = t.elapsed();
    let mut since = None;
    loop {
        let Look::Page(p) = ports.workers.look(&cell, since, 5000).await.unwrap() else { panic!() };
        since = Some(p.upto.revision);
        if !p.more {
            break;
        }
    }
    let (mut next_t, mut commit_t) = (std::time::Duration::ZERO, std::time::Duration::ZERO);
    let all = Instant::now();
    for _ in 0..rounds {
        let t = Instant::now();
        let (line, look) =
            tokio::join!(ports.backlog.next(&cell, None, batch, vec![]), ports.workers.look(&cell, since, 5000));
        next_t += t.elapsed();
        let Look::Page(look) = look.unwrap() else { panic!() };
        since = Some(look.upto.revision);
        let line = line.unwrap();
        assert_eq!(line.ready.len(), batch);
        let decisions = line
            .ready
            .iter()
            .enumerate()
            .map(|(i, w)| Decision {
                container: w.candidate.id.clone(),
                attempt: w.candidate.attempt,
                kind: DecisionKind::Place {
                    worker: WorkerId::new(&format!("worker-{:05}", i % packed)).unwrap(),
                    incarnation: Incarnation(1),
                    booking: Booking { cpu_milli: 1000, memory_mib: 512, gpu_devices: vec![], gpu_milli: 0 },
                },
            })
            .collect();
        let t = Instant::now();
        let answer = ports.placements.commit(&mandate, now, Commit { decisions, ..Commit::default() }).await.unwrap();
        commit_t += t.elapsed();
        assert!(answer.outcomes.iter().all(|o| *o == Outcome::Done), "{:?}", answer.outcomes[0]);
    }
    let n = (rounds * batch) as f64;
    println!(
        "workers {workers} batch {batch} packed {packed}: submit {:.0}/s; next+look {:.2} ms, commit {:.2} ms a batch; {:.0} placements/s",
        n / submit.as_secs_f64(),
        next_t.as_secs_f64() * 1e3 / rounds as f64,
        commit_t.as_secs_f64() * 1e3 / rounds as f64,
        n / all.elapsed().as_secs_f64()
    );
}
