//! Round after round of faults that chance chooses, on several agents at once; and between the rounds all is well again.

use std::time::Duration;

use serde_json::json;

use crate::fleet::books::{NOTHING, booked};
use crate::fleet::torture::{self, Dice};
use crate::fleet::witness::Witness;
use crate::fleet::{Fleet, signal};
use crate::stores::Store;
use crate::wire::{Cut, Wire};

on_each_store! {
    agents_that_fail_by_chance_run_nothing_twice_and_all_goes_on,
}

const AGENTS: [&str; 4] = ["agent-1", "agent-2", "agent-3", "agent-4"];
const CONTAINERS: [&str; 6] = ["c1", "c2", "c3", "c4", "c5", "c6"];
const KEEPALIVE: Duration = Duration::from_secs(3);
const PATIENCE: Duration = Duration::from_mins(1);

/// What happens to an agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    Stopped,
    Killed,
    CutOff,
    /// It is heard, and hears nothing.
    Deaf,
}

impl Fault {
    const ALL: [Self; 4] = [Self::Stopped, Self::Killed, Self::CutOff, Self::Deaf];

    fn begin(self, fleet: &mut Fleet, agent: &str, wire: &Wire) {
        match self {
            Self::Stopped => signal(fleet.agent_pid(agent), "STOP"),
            Self::Killed => fleet.kill_agent(agent),
            Self::CutOff => wire.cut(Cut::Everything),
            Self::Deaf => wire.cut(Cut::Answers),
        }
    }

    fn end(self, fleet: &mut Fleet, agent: &str, wire: &Wire) {
        match self {
            Self::Stopped => signal(fleet.agent_pid(agent), "CONT"),
            Self::Killed => fleet.start_agent_on(agent, &wire.url),
            Self::CutOff | Self::Deaf => wire.cut(Cut::Nothing),
        }
    }
}

fn agents_that_fail_by_chance_run_nothing_twice_and_all_goes_on(store: &Store) {
    let mut fleet = Fleet::start_with(0, store.options());
    let wires = AGENTS.map(|_| Wire::to(&fleet.url));
    for (agent, wire) in AGENTS.iter().zip(&wires) {
        fleet.start_agent_on(agent, &wire.url);
    }
    fleet.wait_for_workers(AGENTS.len());
    let witness = Witness::of(&fleet);
    let mut all = Vec::new();
    for round in 0..torture::rounds(3) {
        // New ones each time: who is lost five times has failed.
        let ids = CONTAINERS.map(|id| format!("{id}-{round}"));
        let request = |id: &String| {
            let mut request = witness.request(id);
            request["cpu"] = json!(5); // two on a worker: three of four have work, and one has room for it
            request
        };
        assert_eq!(fleet.post("/v1/containers", &ids.iter().map(request).collect()).0, 200);
        let wait_for_all = |fleet: &Fleet, state| {
            fleet.eventually(state, PATIENCE, || ids.iter().all(|id| fleet.state(id).0 == state));
        };
        wait_for_all(&fleet, "running");
        shake(&mut fleet, &wires, round);
        fleet.wait_for_workers(AGENTS.len());
        wait_for_all(&fleet, "running");
        println!("attempts after it: {:?}", ids.each_ref().map(|id| fleet.state(id).1));
        assert_eq!(booked(&fleet), [30_000, 6 * 64, 6]);
        for id in &ids {
            fleet.stowplan(&["stop", id]);
        }
        wait_for_all(&fleet, "stopped");
        assert_eq!(booked(&fleet), NOTHING);
        all.extend(ids);
    }
    witness.attest(&all.iter().map(String::as_str).collect::<Vec<_>>());
}

/// Two agents fail at once: one for half the keepalive, one for twice; whoever cannot be heard for that long is lost.
fn shake(fleet: &mut Fleet, wires: &[Wire; 4], round: u64) {
    let mut dice = Dice::new(&round);
    let mut pick = |from: usize| usize::try_from(dice.below(from as u64)).unwrap();
    let brief = pick(AGENTS.len());
    let long = (brief + 1 + pick(AGENTS.len() - 1)) % AGENTS.len();
    let [brief_fault, long_fault] = [(); 2].map(|()| Fault::ALL[pick(Fault::ALL.len())]);
    println!("round {round}: {} is {brief_fault:?}, {} is {long_fault:?} for long", AGENTS[brief], AGENTS[long]);

    brief_fault.begin(fleet, AGENTS[brief], &wires[brief]);
    long_fault.begin(fleet, AGENTS[long], &wires[long]);
    std::thread::sleep(KEEPALIVE / 2);
    brief_fault.end(fleet, AGENTS[brief], &wires[brief]);
    std::thread::sleep(KEEPALIVE * 3 / 2);
    let status = format!("/v1/workers/{}", AGENTS[long]);
    let expected = if long_fault == Fault::Deaf { "available" } else { "lost" };
    fleet.eventually(expected, PATIENCE, || fleet.json(&status)["status"] == expected);
    long_fault.end(fleet, AGENTS[long], &wires[long]);
}
