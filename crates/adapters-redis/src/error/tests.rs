use super::*;

fn of(said: &str) -> Failure {
    Failure::said(&Address::new("asked", 7000), said)
}

/// The variant's name.
fn name(failure: &Failure) -> String {
    format!("{failure:?}").split([' ', '{']).next().unwrap_or_default().to_owned()
}

/// What servers of the versions 6.2 to 8 say, what it means, and what is done about it.
const TABLE: &[(&str, &str, Reaction)] = &[
    ("NOSCRIPT No matching script. Please use EVAL.", "UnknownScript", Reaction::Load),
    ("LOADING Redis is loading the dataset in memory", "Loading", Reaction::Wait),
    ("BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.", "Busy", Reaction::Wait),
    ("TRYAGAIN Multiple keys request during rehashing of slot", "BeingMoved", Reaction::Wait),
    ("CLUSTERDOWN The cluster is down", "ClusterDown", Reaction::Wait),
    ("CLUSTERDOWN Hash slot not served", "ClusterDown", Reaction::Wait),
    (
        "MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.",
        "PrimaryDown",
        Reaction::LookAgain,
    ),
    ("NOREPLICAS Not enough good replicas to write.", "TooFewReplicas", Reaction::Wait),
    (
        "ERR Error running script (call to f_0a): @user_script:1: @user_script: 1: -NOREPLICAS Not enough good replicas",
        "TooFewReplicas",
        Reaction::Wait,
    ),
    ("ERR max number of clients reached", "TooManyClients", Reaction::Wait),
    ("MOVED 3999 127.0.0.1:6381", "Moved", Reaction::Follow),
    ("MOVED 3999 :6381", "Moved", Reaction::Follow),
    ("ASK 3999 127.0.0.1:6381", "Ask", Reaction::AskThere),
    ("READONLY You can't write against a read only replica.", "ReadOnly", Reaction::LookAgain),
    (
        "READONLY You can't write against a read only replica. script: 0a, on @user_script:1.",
        "ReadOnly",
        Reaction::LookAgain,
    ),
    (
        "ERR Error running script (call to f_0a): @user_script:1: @user_script: 1: -READONLY You can't write against a \
         read only replica.",
        "ReadOnly",
        Reaction::LookAgain,
    ),
    ("OOM command not allowed when used memory > 'maxmemory'.", "Full", Reaction::GiveUp),
    (
        "ERR Error running script (call to f_0a): @user_script:1: @user_script: 1: -OOM command not allowed when used \
         memory > 'maxmemory'.",
        "Full",
        Reaction::GiveUp,
    ),
    (
        "ERR OOM command not allowed when used memory > 'maxmemory'. script: 0a, on @user_script:945.",
        "Full",
        Reaction::GiveUp,
    ),
    (
        "ERR READONLY You can't write against a read only replica. script: 0a, on @user_script:945.",
        "ReadOnly",
        Reaction::LookAgain,
    ),
    (
        "ERR NOREPLICAS Not enough good replicas to write. script: 0a, on @user_script:945.",
        "TooFewReplicas",
        Reaction::Wait,
    ),
    (
        "ERR NOPERM this user has no permissions to run the 'hset' command script: 0a, on @user_script:9.",
        "NotAllowed",
        Reaction::GiveUp,
    ),
    (
        "ERR MISCONF Errors writing to the AOF file: No space left on device script: 0a, on @user_script:9.",
        "CannotPersist",
        Reaction::GiveUp,
    ),
    (
        "MISCONF Redis is configured to save RDB snapshots, but it's currently unable to",
        "CannotPersist",
        Reaction::GiveUp,
    ),
    ("NOAUTH Authentication required.", "PasswordMissing", Reaction::GiveUp),
    (
        "NOAUTH HELLO must be called with the client already authenticated, otherwise the",
        "PasswordMissing",
        Reaction::GiveUp,
    ),
    ("WRONGPASS invalid username-password pair or user is disabled.", "PasswordWrong", Reaction::GiveUp),
    (
        "ERR AUTH <password> called without any password configured for the default user. Are you sure",
        "PasswordWrong",
        Reaction::GiveUp,
    ),
    ("NOPERM this user has no permissions to run the 'evalsha' command", "NotAllowed", Reaction::GiveUp),
    ("NOPERM No permissions to access a key", "NotAllowed", Reaction::GiveUp),
    (
        "ERR The user executing the script can't run this command or subcommand script: 0a, on",
        "NotAllowed",
        Reaction::GiveUp,
    ),
    ("DENIED Redis is running in protected mode because protected mode is enabled", "Protected", Reaction::GiveUp),
    ("ERR Error running script (call to f_0a): Script killed by user with SCRIPT KILL...", "Killed", Reaction::GiveUp),
    ("ERR user_script:1: Script attempted to access nonexistent global variable 'x'", "Script", Reaction::GiveUp),
    ("WRONGTYPE Operation against a key holding the wrong kind of value", "Script", Reaction::GiveUp),
    ("CROSSSLOT Keys in request don't hash to the same slot", "Script", Reaction::GiveUp),
    ("MOVED to another city", "Script", Reaction::GiveUp),
    ("CORRUPT the row of the cell", "Script", Reaction::GiveUp),
    ("ERR", "Script", Reaction::GiveUp),
    ("", "Script", Reaction::GiveUp),
];

#[test]
fn what_a_server_says_is_known_for_what_it_means() {
    for (said, expected, reaction) in TABLE {
        let failure = of(said);
        assert_eq!((name(&failure).as_str(), failure.reaction()), (*expected, *reaction), "{said}");
    }
}

#[test]
fn a_redirection_names_the_slot_and_the_node() {
    let Failure::Moved { slot, to, .. } = of("MOVED 3999 :6381") else { panic!() };
    assert_eq!((slot, to.to_string().as_str()), (3999, "asked:6381"));
    let Failure::Ask { to, .. } = of("ASK 3999 ::1:6381") else { panic!() };
    assert_eq!(to.to_string(), "[::1]:6381");
}

#[test]
fn only_a_script_s_own_failure_is_corrupt_and_what_cannot_work_is_unsupported() {
    let node = Address::new("asked", 7000);
    for (said, expected, _) in TABLE {
        let is_corrupt = matches!(of(said).into_port("step"), PortError::Corrupt { .. });
        assert_eq!(is_corrupt, *expected == "Script", "{said}");
    }
    for failure in [
        Failure::DatabaseOfCluster { node: node.clone(), database: 1 },
        Failure::NoCluster { node: node.clone() },
        Failure::TooOld { node: node.clone() },
    ] {
        assert!(matches!(failure.into_port("step"), PortError::Unsupported(_)));
    }
}

#[test]
fn what_may_have_been_executed_is_never_asked_again() {
    let node = Address::new("asked", 7000);
    let source = RedisError::from(std::io::Error::from(std::io::ErrorKind::BrokenPipe));
    let silent = Failure::Silent { node: node.clone(), within: Duration::from_secs(5) };
    for failure in [Failure::Lost { node, source }, silent] {
        assert_eq!(failure.reaction(), Reaction::GiveUp);
        assert!(failure.to_string().contains("whether the step was made is unknown"));
        assert!(matches!(failure.into_port("step"), PortError::Unavailable(_)));
    }
}

/// What servers of the versions 7 and 6.2 say of a script that ended by `corrupt`.
#[test]
fn what_a_script_cannot_read_is_named() {
    for (said, what) in [
        ("ERR CORRUPT container r03 script: 0a, on @user_script:945.", "container r03"),
        (
            "ERR CORRUPT stowplan:{main}:lots: it is a string, not a hash script: 0a, on @user_script:9.",
            "stowplan:{main}:lots",
        ),
        ("ERR Error running script (call to f_0a): @user_script:945: CORRUPT worker w1 ", "worker w1 "),
        (
            "WRONGTYPE Operation against a key holding the wrong kind of value script: 0a, on @user_script:1.",
            "what stop reads",
        ),
    ] {
        match of(said).into_port("stop") {
            PortError::Corrupt { what: found, source } => {
                assert_eq!(found, what, "{said}");
                assert!(source.to_string().contains(said), "{source}");
            }
            other => panic!("{said}: {other:?}"),
        }
    }
}
