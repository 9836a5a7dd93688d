//! `cargo xtask torture`: the campaigns that look for rare faults, at length and in an optimised build.
//!
//! Each is a test that is short under `cargo xtask test`, and reads its seed and its rounds from the environment here.

use std::process::Command;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Result, bail};

use crate::cargo::{cargo, printed, root, succeed};
use crate::say::{answer, say};

#[derive(clap::Args)]
pub(crate) struct Options {
    /// What every campaign draws from; by default another each time
    #[arg(long)]
    seed: Option<u64>,
    /// How many rounds each campaign makes; by default as many as its row says
    #[arg(long)]
    rounds: Option<u64>,
    /// Only the campaign of this name
    #[arg(long, value_name = "NAME", value_parser = CAMPAIGNS.iter().map(|campaign| campaign.name).collect::<Vec<_>>())]
    only: Option<String>,
    /// Print what would be run, and run nothing
    #[arg(long)]
    list: bool,
}

/// One test, and how long it is to go on.
struct Campaign {
    name: &'static str,
    /// The package, and the target in it, as cargo is told.
    target: &'static str,
    /// Its name, and the store before it where it runs on each.
    test: &'static str,
    rounds: u64,
}

/// What is run, in this order.
const CAMPAIGNS: &[Campaign] = &[
    Campaign {
        name: "random-steps",
        target: "-p domain --test model",
        test: "random_steps_keep_every_book_and_reach_every_outcome",
        rounds: 2_000,
    },
    Campaign {
        name: "server-kills",
        target: "-p app --test kills",
        test: "embedded::a_server_killed_anywhere_loses_nothing_and_hands_nothing_out_twice",
        rounds: 5_000,
    },
    Campaign {
        name: "power-cuts",
        target: "-p app --lib",
        test: "no_answered_step_is_lost_by_a_power_cut",
        rounds: 20_000,
    },
    Campaign { name: "explorer", target: "-p app --test explorer", test: "no_walk_breaks_a_promise", rounds: 20_000 },
    Campaign {
        name: "agent-faults",
        target: "-p app --test campaigns",
        test: "embedded::agents_that_fail_by_chance_run_nothing_twice_and_all_goes_on",
        rounds: 100,
    },
    Campaign {
        name: "stop-races",
        target: "-p app --test campaigns",
        test: "embedded::five_hundred_stops_race_with_starts_and_nothing_runs_after_its_end",
        rounds: 20,
    },
    // On Redis it takes 10 s until the next server plans.
    Campaign {
        name: "redis-server-kills",
        target: "-p app --test kills",
        test: "redis::a_server_killed_anywhere_loses_nothing_and_hands_nothing_out_twice",
        rounds: 100,
    },
    Campaign {
        name: "redis-agent-faults",
        target: "-p app --test campaigns",
        test: "redis::agents_that_fail_by_chance_run_nothing_twice_and_all_goes_on",
        rounds: 50,
    },
    Campaign {
        name: "redis-stop-races",
        target: "-p app --test campaigns",
        test: "redis::five_hundred_stops_race_with_starts_and_nothing_runs_after_its_end",
        rounds: 20,
    },
    Campaign {
        name: "redis-cells",
        target: "-p app --test redis",
        test: "a_node_killed_under_three_cells_concerns_only_its_own",
        rounds: 30,
    },
    Campaign {
        name: "redis-restarts",
        target: "-p app --test redis",
        test: "a_redis_server_killed_again_and_again_loses_nothing_and_work_goes_on_by_itself",
        rounds: 200,
    },
    Campaign {
        name: "redis-losses",
        target: "-p app --test redis",
        test: "an_older_copy_of_the_append_only_file_loses_only_what_came_after_it_and_runs_nothing_twice",
        rounds: 20,
    },
    Campaign {
        name: "redis-promotions",
        target: "-p app --test redis",
        test: "a_replica_promoted_too_early_loses_only_what_it_was_not_told_and_runs_nothing_twice",
        rounds: 20,
    },
    // A burst of 100 a tenth of a second, for a minute.
    Campaign {
        name: "pool-bursts",
        target: "-p app --test pools",
        test: "workers_asked_for_in_a_storm_are_never_more_than_what_is_open_needs",
        rounds: 600,
    },
    // Each round adds 100 containers, and 25 s without Redis.
    Campaign {
        name: "redis-away",
        target: "-p app --test redis",
        test: "a_redis_that_is_killed_and_comes_back_late_finds_all_as_it_should_be",
        rounds: 12,
    },
];

pub(crate) fn torture(options: &Options) -> Result<()> {
    let seed = options.seed.unwrap_or_else(any_seed);
    let chosen = CAMPAIGNS.iter().filter(|campaign| options.only.as_deref().is_none_or(|only| only == campaign.name));
    let commit = printed(Command::new("git").args(["describe", "--always", "--dirty"]).current_dir(root()))?;
    let commit = commit.trim();
    say(&format!("torture: seed {seed}, commit {commit}"));
    let mut failed = Vec::new();
    for campaign in chosen {
        let rounds = options.rounds.unwrap_or(campaign.rounds);
        if options.list {
            answer(&format!("{}: {rounds} rounds of {}", campaign.name, campaign.test));
            continue;
        }
        say(&format!("torture: {}, {rounds} rounds", campaign.name));
        let begun = Instant::now();
        let outcome = succeed(&mut campaign.command(seed, rounds));
        say(&format!("torture: {} took {:.0} s", campaign.name, begun.elapsed().as_secs_f64()));
        if let Err(error) = outcome {
            let again = format!("--seed {seed} --rounds {rounds} --only {} # at {commit}", campaign.name);
            failed.push(format!("{error:#}\nnext: cargo xtask torture {again}"));
        }
    }
    if !failed.is_empty() {
        bail!("torture: {}", failed.join("\n"));
    }
    Ok(())
}

impl Campaign {
    fn command(&self, seed: u64, rounds: u64) -> Command {
        let mut command = cargo(&["test", "--release", "--locked", "--all-features"]);
        command.args(self.target.split(' ')).args([self.test, "--", "--nocapture"]);
        command.env("STOWPLAN_TORTURE_SEED", seed.to_string()).env("STOWPLAN_TORTURE_ROUNDS", rounds.to_string());
        command
    }
}

/// The time, in microseconds: nobody has to remember which were tried.
fn any_seed() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or_default()
}
