use super::*;

const HEALTHY: &str = "redis_version:7.0.15\r\nmaxmemory:0\r\nmaxmemory_policy:noeviction\r\naof_enabled:1\r\n\
                       aof_last_write_status:ok\r\nrdb_last_bgsave_status:ok\r\nrole:master\r\nconnected_slaves:0\r\n\
                       cluster_enabled:0\r\n";

fn about(info: &str, settings: &[(&str, &str)]) -> About {
    let mut about = About::default();
    about.read_info(info);
    for (name, value) in settings {
        about.set(name, value);
    }
    about
}

/// What is warned of, or the refusal.
fn said(info: &str, settings: &[(&str, &str)]) -> String {
    match judge(&about(info, settings)) {
        Ok(checks) => checks.warnings.iter().map(|warning| warning.what.as_str()).collect::<Vec<_>>().join("; "),
        Err(error) => error.to_string(),
    }
}

#[test]
fn what_a_server_may_lose_is_said_and_what_throws_rows_away_is_refused() {
    let always = [("appendfsync", "always")];
    for (change, settings, expected) in [
        (("", ""), &always[..], ""),
        (("", ""), &[("appendfsync", "everysec")], "of the last second or two"),
        (("", ""), &[("appendfsync", "no")], "up to half a minute"),
        (("aof_enabled:1", "aof_enabled:0"), &[("save", "")], "nothing is written to disk"),
        (("aof_enabled:1", "aof_enabled:0"), &[("save", "3600 1")], "snapshots at most"),
        (("aof_last_write_status:ok", "aof_last_write_status:err"), &always, "append-only file could not be written"),
        (("rdb_last_bgsave_status:ok", "rdb_last_bgsave_status:err"), &always, "snapshot could not be written"),
        (("role:master", "role:slave"), &always, "read-only replica"),
        (
            ("connected_slaves:0", "connected_slaves:1"),
            &[("appendfsync", "always"), ("min-replicas-to-write", "0")],
            "a failover may lose acknowledged writes",
        ),
        (
            ("connected_slaves:0", "connected_slaves:1"),
            &[("appendfsync", "always"), ("min-replicas-to-write", "1"), ("min-replicas-max-lag", "10")],
            "",
        ),
        (
            ("cluster_enabled:0", "cluster_enabled:1"),
            &[("appendfsync", "always"), ("cluster-require-full-coverage", "yes")],
            "stops all cells",
        ),
        (("7.0.15", "6.0.16"), &always, "Redis 6.0.16: it needs 6.2 or newer, or Valkey"),
        (("7.0.15", "6.2.0"), &always, ""),
        (("7.0.15", "10.0.0"), &always, ""),
        (("7.0.15", "unstable"), &always, ""),
        (("noeviction", "allkeys-lru"), &always, "CONFIG SET maxmemory-policy noeviction"),
        (("noeviction", "volatile-lru"), &always, "maxmemory-policy volatile-lru"),
    ] {
        let said = said(&HEALTHY.replace(change.0, change.1), settings);
        let agrees = if expected.is_empty() { said.is_empty() } else { said.contains(expected) };
        assert!(agrees, "{change:?} {settings:?}: {said:?} instead of {expected:?}");
    }
}

#[test]
fn valkey_is_called_by_its_name() {
    let info = HEALTHY.replace("7.0.15", "7.2.4") + "server_name:valkey\r\nvalkey_version:8.0.1\r\n";
    let checks = judge(&about(&info, &[("appendfsync", "always")])).unwrap();
    assert_eq!(checks.facts[0], ("server", "valkey 8.0.1".to_owned()));
}

#[cfg(feature = "testing")]
mod real {
    use super::*;
    use crate::config::RedisConfig;
    use crate::testing::{Appendonly, Options, Server};

    async fn check(url: &str) -> PortResult<Checks> {
        crate::check(RedisConfig::parse(url).unwrap(), &CellName::new("main").unwrap()).await
    }

    fn whats(checks: &Checks) -> Vec<&str> {
        checks.warnings.iter().map(|warning| warning.what.as_str()).collect()
    }

    #[tokio::test]
    async fn a_real_server_tells_all_that_is_judged() {
        let server = Options::new().appendonly(Appendonly::Always).start();
        let checks = check(&server.url()).await.unwrap();
        let names: Vec<_> = checks.facts.iter().map(|(name, _)| *name).collect();
        assert_eq!(names, ["server", "maxmemory", "persistence", "replicas"]);
        assert_eq!(checks.facts[2].1, "append-only file, always on disk");
        assert_eq!(checks.warnings, []);

        let checks = check(&Server::start().url()).await.unwrap();
        assert!(whats(&checks)[0].starts_with("nothing is written to disk"), "{checks:?}");
    }

    #[tokio::test]
    async fn a_server_that_throws_rows_away_is_refused() {
        let server = Options::new().policy("allkeys-lru").start();
        let error = check(&server.url()).await.unwrap_err();
        assert!(matches!(&error, PortError::Unsupported(what) if what.contains("maxmemory-policy allkeys-lru")));
    }

    #[tokio::test]
    async fn a_primary_that_does_not_wait_for_its_replica_is_warned_of() {
        let primary = Options::new().appendonly(Appendonly::Always).start();
        let replica = Options::new().replica_of(&primary).start();
        let checks = check(&primary.url()).await.unwrap();
        assert!(whats(&checks)[0].starts_with("a failover may lose acknowledged writes"), "{checks:?}");
        primary.command(&["CONFIG", "SET", "min-replicas-to-write", "1"]).ok();
        assert_eq!(check(&primary.url()).await.unwrap().warnings, []);
        let checks = check(&replica.url()).await.unwrap();
        assert!(whats(&checks).iter().any(|what| what.contains("read-only replica")), "{checks:?}");
    }

    #[tokio::test]
    async fn a_server_that_does_not_tell_is_taken_with_a_warning() {
        let server = Server::start();
        let user = ["ACL", "SETUSER", "ops", "on", ">word", "~*", "&*", "+@all", "-config", "-info"];
        server.command(&user).ok();
        let checks = check(&format!("redis://ops:word@127.0.0.1:{}", server.port())).await.unwrap();
        assert_eq!(checks.facts, []);
        assert_eq!(checks.warnings.len(), 2, "{checks:?}");
        assert!(checks.warnings[0].fix.contains("+info") && checks.warnings[1].fix.contains("+config|get"));
    }
}
