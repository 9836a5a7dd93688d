//! Seeded random walks: every step of every port with arguments that are right, late, repeated or wrong; audited after
//! each; until every outcome was seen.

mod outcomes;

use std::collections::BTreeMap;
use std::time::Duration;

use domain::audit;
use domain::container::{ContainerRow, End, Exit, Phase, PlacementId};
use domain::id::{
    Attempt, Boot, CallNumber, CellName, ContainerId, History, Incarnation, PlannerId, Revision, Stamp, Term, WorkerId,
};
use domain::model::backlog;
use domain::model::containers::{self, Keep};
use domain::model::history;
use domain::model::leadership::{self, AcquireOutcome};
use domain::model::placements::{self, Commit, Decision, DecisionKind, Loss, NewWorker};
use domain::model::workers::{self, Held, RegisterOutcome, Registration, RemoveHow, SeenSilent, StatusChange};
use domain::model::{CellRow, Change, Event, Filter, Mandate, MemoryRows, OrderMark, Report, Rows, Stepped};
use domain::quota::{Limit, QuotaLimits};
use domain::request::{Ask, IfSilent, Submission};
use domain::time::Timestamp;
use domain::wait::{LotKey, Why};
use domain::worker::Caller;

use outcomes::{Histogram, Renewed};

use crate::support::{Never, ask, body, booking, cid, key, read, spec, wid, workspace};

/// So many walks meet every outcome; fewer may not.
const WALKS: u64 = 40;
const STEPS: u64 = 2_500;
const CONTAINERS: u64 = 10;
const WORKERS: u64 = 4;

/// The generator of Steele, Lea and Flood (split-mix, 64 bits).
struct Dice(u64);

impl Dice {
    fn throw(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = self.0;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (word ^ (word >> 31)) % sides
    }

    fn one_in(&mut self, sides: u64) -> bool {
        self.throw(sides) == 0
    }

    fn pick<'a, T>(&mut self, of: &'a [T]) -> Option<&'a T> {
        let sides = u64::try_from(of.len()).expect("a length");
        of.get(usize::try_from(self.throw(sides.max(1))).expect("an index"))
    }

    fn container(&mut self) -> ContainerId {
        cid(&format!("c{}", self.throw(CONTAINERS)))
    }

    fn worker(&mut self) -> WorkerId {
        wid(&format!("w{}", self.throw(WORKERS)))
    }
}

/// A cell, and what the walk remembers to say again, late.
struct Walk {
    dice: Dice,
    rows: MemoryRows,
    /// As they were when the store was last opened.
    copy: MemoryRows,
    now: u64,
    mandates: Vec<Mandate>,
    stamps: Vec<(Term, Stamp)>,
    callers: BTreeMap<WorkerId, Vec<Caller>>,
    marks: BTreeMap<WorkerId, Vec<Option<OrderMark>>>,
    placements: Vec<PlacementId>,
    losses: Vec<Loss>,
    decisions: Vec<Decision>,
    registrations: Vec<Registration>,
    seen: Histogram,
}

impl Walk {
    fn new(seed: u64) -> Self {
        let rows = MemoryRows::new(CellRow::new(History::from_random(seed)), Boot::from_random(seed));
        Self {
            dice: Dice(seed),
            copy: rows.clone(),
            rows,
            now: 1,
            mandates: Vec::new(),
            stamps: Vec::new(),
            callers: BTreeMap::new(),
            marks: BTreeMap::new(),
            placements: Vec::new(),
            losses: Vec::new(),
            decisions: Vec::new(),
            registrations: Vec::new(),
            seen: Histogram::default(),
        }
    }

    fn run<T>(&mut self, step: impl Fn(&MemoryRows, Timestamp) -> Stepped<T, Never>) -> T {
        let now = Timestamp(self.now);
        let before = read(self.rows.cell());
        let ended = self.ended();
        let (answer, changes) = read(step(&self.rows, now));
        let moved = changes.iter().any(|change| matches!(change, Change::Cell(_)));
        self.rows.apply(changes);
        let after = read(self.rows.cell());
        assert_eq!(after.revision.0 - before.revision.0, u64::from(moved), "each step that writes is one revision");
        assert!(after.now >= before.now && after.term >= before.term);
        for row in ended {
            let is = read(self.rows.container(&row.id));
            assert!(is.is_none_or(|is| is == row), "what has ended stays so: {row:?}");
        }
        let found = read(audit::of_rows(&self.rows));
        assert!(!found.iter().any(audit::Finding::is_corruption), "{found:#?}");
        answer
    }

    fn ended(&self) -> Vec<ContainerRow> {
        let ended = read(self.rows.ended(1000)).into_iter();
        ended.filter_map(|(_, id)| read(self.rows.container(&id))).collect()
    }

    fn step(&mut self) {
        self.now = self.now.saturating_add(self.dice.throw(5_000)).saturating_sub(1_000);
        match self.dice.throw(100) {
            0..12 => self.submit(),
            12..37 => self.commit(),
            37..42 => self.lead(),
            42..54 => self.take(),
            54..72 => self.report(),
            72..80 => self.register(),
            80..84 => self.beat(),
            84..87 => self.set_status(),
            87 => self.look(),
            88..92 => self.lose(),
            92 => self.remove(),
            93..95 => self.stop(),
            95..99 => self.forget(),
            _ => self.reopen(),
        }
    }

    fn submit(&mut self) {
        let count = 1 + self.dice.throw(3);
        let items: Vec<_> = (0..count).map(|_| self.submission()).collect();
        for outcome in self.run(|rows, now| backlog::submit(rows, now, &items)) {
            self.seen.count("submit", &outcome);
        }
    }

    fn submission(&mut self) -> Submission {
        let id = self.dice.container();
        let mut ask = usual_ask(&id);
        if self.dice.one_in(30) {
            ask.cpu_milli = 0;
        }
        if self.dice.one_in(30) {
            ask.priority = 5;
        }
        let if_silent = if number(&id).is_multiple_of(4) { IfSilent::Keep } else { IfSilent::Stop };
        Submission::new(id, ask, body(), if_silent)
    }

    fn lead(&mut self) {
        let planner = PlannerId::new(if self.dice.one_in(2) { "p1" } else { "p2" }).expect("a name");
        let name = CellName::new("main").expect("a name");
        let expected = self.dice.pick(&self.stamps).copied();
        match self.dice.throw(6) {
            0..4 => {
                let answer = self.run(|rows, _| leadership::acquire(rows, &name, &planner, expected));
                self.seen.count("acquire", &answer);
                match answer {
                    AcquireOutcome::Acquired(mandate) => self.mandates.push(mandate),
                    AcquireOutcome::Held { term, stamp, .. } => self.stamps = vec![(term, stamp)],
                }
            }
            4 => {
                let Some(mandate) = self.mandate() else { return };
                let answer = self.run(|rows, _| leadership::renew(rows, &mandate));
                match answer {
                    Ok(()) => self.seen.count("renew", &Renewed),
                    Err(fence) => self.seen.count("renew", &fence),
                }
            }
            _ => {
                let Some(mandate) = self.mandate() else { return };
                self.run(|rows, _| leadership::resign(rows, &mandate));
            }
        }
    }

    /// Mostly the newest.
    fn mandate(&mut self) -> Option<Mandate> {
        let old = self.dice.one_in(8);
        let mut mandate = if old { self.dice.pick(&self.mandates)? } else { self.mandates.last()? }.clone();
        if self.dice.one_in(60) {
            mandate.mark.history = History::from_random(0);
        }
        Some(mandate)
    }

    fn commit(&mut self) {
        let Some(mandate) = self.mandate() else { return self.lead() };
        let mut decisions: Vec<_> = (0..self.dice.throw(5)).filter_map(|_| self.decision()).collect();
        decisions.extend(self.dice.pick(&self.decisions).cloned());
        self.decisions.extend(decisions.iter().cloned());
        keep_last(&mut self.decisions);
        let limits = QuotaLimits { cpu_milli: Limit::AtMost(2_000), ..QuotaLimits::UNLIMITED };
        let commit = Commit {
            decisions,
            workers: self.dice.one_in(10).then(|| self.announced()).into_iter().collect(),
            removals: self.dice.one_in(30).then(|| self.dice.worker()).into_iter().collect(),
            limits: BTreeMap::from([(workspace("a"), limits)]),
        };
        match self.run(|rows, now| placements::commit(rows, &mandate, now, &commit)) {
            Ok(answer) => {
                answer.outcomes.iter().for_each(|outcome| self.seen.count("commit", outcome));
                answer.removals.iter().for_each(|outcome| self.seen.count("commit, removal", outcome));
            }
            Err(fence) => self.seen.count("commit", &fence),
        }
        let rows = read(self.rows.containers(&Filter::All, None, 100)).into_iter();
        self.placements.extend(rows.filter_map(|id| read(self.rows.container(&id))?.placement_id()));
        keep_last(&mut self.placements);
    }

    fn announced(&mut self) -> NewWorker {
        NewWorker { id: self.dice.worker(), spec: spec(4), boot_within: Duration::from_mins(1) }
    }

    fn decision(&mut self) -> Option<Decision> {
        let waiting = read(self.rows.containers(&Filter::Phase(Phase::Pending), None, 100));
        let any = self.dice.container();
        let id = if self.dice.one_in(6) { &any } else { self.dice.pick(&waiting).unwrap_or(&any) };
        let row = read(self.rows.container(id))?;
        let worker = self.dice.worker();
        let attempt = if self.dice.one_in(20) { Attempt(row.attempt.0 + 1) } else { row.attempt };
        let kind = match self.dice.throw(6) {
            0 => DecisionKind::Park { lot: LotKey::Shape(row.ask.shape()), why: Why::NoWorkers },
            1 => DecisionKind::Park { lot: LotKey::Quota(row.ask.workspace.clone()), why: Why::NoWorkers },
            _ => DecisionKind::Place {
                incarnation: read(self.rows.worker(&worker)).map_or(Incarnation(1), |row| row.incarnation),
                worker,
                booking: booking(&row.ask),
            },
        };
        Some(Decision { container: row.id, attempt, kind })
    }

    /// Mostly the next call of a worker's newest run, sometimes a late one.
    fn caller(&mut self) -> Option<Caller> {
        let worker = self.dice.worker();
        let callers = self.callers.get_mut(&worker)?;
        if self.dice.one_in(5) {
            return self.dice.pick(callers).cloned();
        }
        let newest = callers.last_mut()?;
        newest.number = newest.number.next();
        Some(newest.clone())
    }

    fn take(&mut self) {
        let Some(caller) = self.caller() else { return self.register() };
        let marks = self.marks.entry(caller.worker.clone()).or_default();
        let after = if self.dice.one_in(2) { None } else { self.dice.pick(marks).cloned().flatten() };
        let limit = usize::try_from(1 + self.dice.throw(3)).expect("small");
        let step = |rows: &MemoryRows, now| placements::take(rows, now, &caller, after.as_ref(), limit);
        let answer = self.run(step);
        let again = self.run(step);
        assert_eq!((answer.call, &answer.orders), (again.call, &again.orders), "a repeat hands out the same");
        self.seen.count("take", &answer.call);
        answer.orders.iter().for_each(|order| self.seen.count("take, order", order));
        self.marks.entry(caller.worker).or_default().push(answer.upto);
    }

    fn report(&mut self) {
        let Some(caller) = self.caller() else { return self.register() };
        let owned = read(self.rows.owned(&caller.worker, None, 100));
        let reports: Vec<_> = (0..=self.dice.throw(2))
            .filter_map(|_| {
                let mark = self.dice.pick(&owned).cloned();
                let newest = mark.and_then(|mark| read(self.rows.container(&mark.container))?.placement_id());
                let old = self.dice.pick(&self.placements).cloned();
                let placement = if self.dice.one_in(4) { old } else { newest.or(old) };
                Some(Report { placement: placement?, event: self.event(), output: None })
            })
            .collect();
        let step = |rows: &MemoryRows, now| placements::report(rows, now, &caller, &reports);
        let answer = self.run(step);
        if reports.len() < 2 {
            let before = self.rows.clone();
            assert_eq!(self.run(step).call, answer.call);
            assert_eq!(read(before.cell()), read(self.rows.cell()), "a repeat changes nothing");
        }
        self.seen.count("report", &answer.call);
        answer.outcomes.iter().for_each(|outcome| self.seen.count("report, each", outcome));
    }

    fn event(&mut self) -> Event {
        let end = match self.dice.throw(12) {
            0..4 => return Event::Running,
            4 => End::Exited(Exit::Code(0)),
            5 => End::Exited(Exit::Signal(9)),
            6 => End::StopOrder,
            7 => End::DrainOrder,
            8 => End::Deadline(Duration::from_mins(2)),
            9 => End::NotStarted,
            10 => End::Gone,
            _ => End::StartFailed("no".to_owned()),
        };
        Event::Ended(end)
    }

    fn register(&mut self) {
        let late = self.dice.pick(&self.registrations).cloned();
        let call = match late {
            Some(late) if self.dice.one_in(5) => late,
            _ => self.registration(),
        };
        self.registrations.push(call.clone());
        keep_last(&mut self.registrations);
        let answer = self.run(|rows, now| workers::register(rows, now, &call));
        self.seen.count("register", &answer);
        let RegisterOutcome::Registered { mark, kills, .. } = answer else { return };
        self.seen.count("register, kills", &!kills.is_empty());
        let caller = Caller { worker: call.worker.clone(), incarnation: call.incarnation, number: CallNumber(0), mark };
        self.callers.entry(call.worker).or_default().push(caller);
    }

    fn registration(&mut self) -> Registration {
        let worker = self.dice.worker();
        let row = read(self.rows.worker(&worker));
        let incarnation = row.as_ref().map_or(1, |row| row.incarnation.0 + 1);
        let owned = read(self.rows.owned(&worker, None, 100)).into_iter();
        let mut holds: Vec<_> = owned
            .filter(|_| !self.dice.one_in(4))
            .filter_map(|mark| read(self.rows.container(&mark.container))?.placement_id())
            .collect();
        let strange = self.dice.one_in(8);
        holds.extend(self.dice.pick(&self.placements).filter(|_| strange).cloned());
        let told = self.dice.one_in(3).then(|| self.dice.pick(&self.placements).cloned()).flatten();
        let ends = told.map(|placement| Report { placement, event: self.event(), output: None });
        Registration {
            worker,
            incarnation: Incarnation(incarnation - u64::from(self.dice.one_in(10))),
            key: key(if self.dice.one_in(6) { "k2" } else { "k1" }),
            spec: spec(3 + self.dice.throw(6)),
            ready: !self.dice.one_in(10),
            holds: holds
                .into_iter()
                .map(|placement| Held { booking: booking(&usual_ask(&placement.container)), placement })
                .collect(),
            ends: ends.into_iter().collect(),
            more: self.dice.one_in(10),
        }
    }

    fn beat(&mut self) {
        let callers: Vec<_> = (0..3).filter_map(|_| self.caller()).collect();
        let before: Vec<_> = callers.iter().map(|caller| read(self.rows.number(&caller.worker))).collect();
        let answers = self.run(|rows, _| workers::heartbeat(rows, &callers));
        for ((caller, before), answer) in callers.iter().zip(before).zip(answers) {
            assert!(read(self.rows.number(&caller.worker)) >= before, "numbers only rise");
            self.seen.count("heartbeat", &answer);
        }
    }

    /// Sometimes as of a revision that is not there yet.
    fn look(&mut self) {
        let since = Revision(self.dice.throw(read(self.rows.cell()).revision.0 + 10));
        let since = if self.dice.one_in(3) { None } else { Some(since) };
        let answer = read(workers::look(&self.rows, since, 3));
        self.seen.count("look", &answer);
    }

    fn set_status(&mut self) {
        let change = match self.dice.throw(4) {
            0 => StatusChange::Cordoned,
            1 => StatusChange::Draining { within: Duration::from_mins(1) },
            _ => StatusChange::Open,
        };
        let items = [(self.dice.worker(), change)];
        let outcome = self.run(|rows, now| workers::set_status(rows, now, &items)).remove(0);
        self.seen.count("set_status", &outcome);
    }

    fn lose(&mut self) {
        let Some(mandate) = self.mandate() else { return };
        let worker = self.dice.worker();
        let loss = match read(self.rows.worker(&worker)) {
            _ if self.dice.one_in(4) => Loss::DrainDue { worker },
            _ if self.dice.one_in(4) => Loss::Rest { worker },
            _ if self.dice.one_in(4) => Loss::Settled { witness: self.mandates.last().map(|mandate| mandate.mark) },
            Some(row) => Loss::Silent {
                number: read(self.rows.number(&worker)),
                worker,
                incarnation: row.incarnation,
                boot: self.rows.boot(),
            },
            None => return,
        };
        let mut losses = vec![loss.clone()];
        losses.extend(self.dice.pick(&self.losses).cloned());
        self.losses.push(loss);
        let limit = usize::try_from(1 + self.dice.throw(3)).expect("small");
        match self.run(|rows, now| placements::lose(rows, &mandate, now, &losses, limit)) {
            Ok(outcomes) => outcomes.iter().for_each(|outcome| self.seen.count("lose", outcome)),
            Err(fence) => self.seen.count("lose", &fence),
        }
    }

    fn remove(&mut self) {
        let worker = self.dice.worker();
        let incarnation = read(self.rows.worker(&worker)).map_or(Incarnation(0), |row| row.incarnation);
        let how = match self.dice.throw(3) {
            0 => RemoveHow::IfEmpty,
            1 => RemoveHow::Lost { incarnation: incarnation.next(), seen: None },
            _ => {
                let seen = SeenSilent { number: read(self.rows.number(&worker)), boot: self.rows.boot() };
                RemoveHow::Lost { incarnation, seen: self.dice.one_in(2).then_some(seen) }
            }
        };
        let outcome = self.run(|rows, now| workers::remove(rows, now, &[(worker.clone(), how)], 1)).remove(0);
        self.seen.count("remove", &outcome);
    }

    fn stop(&mut self) {
        let ids = [self.dice.container(), self.dice.container()];
        for outcome in self.run(|rows, now| containers::stop(rows, now, &ids)) {
            self.seen.count("stop", &outcome);
        }
    }

    fn forget(&mut self) {
        let keep = Keep { within: Duration::from_secs(self.dice.throw(30)), ended_max: 3 };
        let forgotten = self.run(|rows, now| containers::forget(rows, now, &keep, 2));
        self.seen.count("forget, more", &forgotten.more);
    }

    /// Sometimes as it was a while ago, and sometimes the store knows that it lost writes.
    fn reopen(&mut self) {
        let boot = Boot::from_random(self.dice.throw(1 << 40));
        let rows = if self.dice.one_in(4) { self.copy.clone() } else { self.rows.clone() };
        self.rows = rows.reopened(boot);
        self.copy = self.rows.clone();
        if self.dice.one_in(6) {
            self.run(|rows, _| history::rewind(rows));
        }
    }
}

/// What is asked follows from the name, so that most repeats are the same request.
fn usual_ask(id: &ContainerId) -> Ask {
    let number = number(id);
    Ask { workspace: workspace(if number.is_multiple_of(3) { "a" } else { "b" }), ..ask(1 + number % 3) }
}

fn number(id: &ContainerId) -> u64 {
    id.as_str()[1..].parse().expect("a number")
}

/// Forgets all but what was last said.
fn keep_last<T>(said: &mut Vec<T>) {
    const KEPT: usize = 40;
    said.drain(..said.len().saturating_sub(KEPT));
}

#[test]
fn random_steps_keep_every_book_and_reach_every_outcome() {
    let (first, walks) = (told("STOWPLAN_TORTURE_SEED", 1), told("STOWPLAN_TORTURE_ROUNDS", WALKS));
    let mut seen = Histogram::default();
    for seed in first..first + walks {
        let mut walk = Walk::new(seed);
        for _ in 0..STEPS {
            walk.step();
        }
        seen.add(&walk.seen);
    }
    print!("{} steps\n{seen}", walks * STEPS);
    if walks >= WALKS {
        assert_eq!(seen.never(), [], "never seen");
    }
}

/// What is said from outside, or the default.
#[expect(clippy::disallowed_methods, reason = "who tortures says for how long")]
fn told(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().expect("a number"))
}
