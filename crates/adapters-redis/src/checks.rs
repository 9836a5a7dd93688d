//! What a server is like, asked before it is trusted with a cell: what refuses it, what an operator should know.

use domain::id::CellName;
use ports::{PortError, PortResult};

use crate::connection::Connections;
use crate::error::Failure;

mod about;

use about::About;

/// The oldest version whose scripts and commands are the ones used here.
const VERSION_MIN: (u32, u32) = (6, 2);

/// What there is to know of the server that holds a cell.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Checks {
    /// What it is, in names and values.
    pub facts: Vec<(&'static str, String)>,
    /// What it may lose, or does not tell.
    pub warnings: Vec<Warning>,
}

/// Something that an operator should know, and may want to change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning {
    /// What it is, in a sentence without its full stop.
    pub what: String,
    /// What changes it.
    pub fix: String,
}

impl Warning {
    fn new(what: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { what: what.into(), fix: fix.into() }
    }
}

/// Asks the server that holds the cell.
///
/// `Unsupported` names what refuses it and what would be right; `Unavailable` if it does not answer. A server that does
/// not tell about itself is taken, with a warning.
pub(crate) async fn check(connections: &Connections, cell: &CellName) -> PortResult<Checks> {
    let about = About::ask(connections, cell).await.map_err(|failure| failure.into_port("INFO"))?;
    judge(&about)
}

fn judge(about: &About) -> PortResult<Checks> {
    let mut checks = Checks::default();
    version(about, &mut checks)?;
    memory(about, &mut checks)?;
    persistence(about, &mut checks);
    replication(about, &mut checks);
    cluster(about, &mut checks);
    untold(about, &mut checks);
    Ok(checks)
}

fn version(about: &About, checks: &mut Checks) -> PortResult<()> {
    let Some(version) = about.info("redis_version") else { return Ok(()) };
    let mut numbers = version.split('.').map(str::parse);
    if let (Some(Ok(major)), Some(Ok(minor))) = (numbers.next(), numbers.next())
        && (major, minor) < VERSION_MIN
    {
        let (least, less) = VERSION_MIN;
        return Err(PortError::Unsupported(format!("Redis {version}: it needs {least}.{less} or newer, or Valkey")));
    }
    let name = about.info("server_name").unwrap_or("redis");
    let version = about.info("valkey_version").unwrap_or(version);
    checks.facts.push(("server", format!("{name} {version}")));
    Ok(())
}

fn memory(about: &About, checks: &mut Checks) -> PortResult<()> {
    let policy = about.info("maxmemory_policy").or_else(|| about.setting("maxmemory-policy"));
    let Some(policy) = policy else { return Ok(()) };
    if policy != "noeviction" {
        return Err(PortError::Unsupported(format!(
            "maxmemory-policy {policy}: a full server would throw rows away. Set it to noeviction, by CONFIG SET \
             maxmemory-policy noeviction and in redis.conf"
        )));
    }
    let limit = about.info("maxmemory").filter(|limit| *limit != "0");
    checks.facts.push(("maxmemory", limit.map_or("none".to_owned(), |limit| format!("{limit} bytes"))));
    Ok(())
}

fn persistence(about: &About, checks: &mut Checks) {
    const FIX: &str = "CONFIG SET appendonly yes, and appendonly yes in redis.conf";
    let snapshots = about.setting("save");
    let (fact, warning) = match (about.info("aof_enabled"), about.setting("appendfsync")) {
        (Some("1"), Some("always")) => ("append-only file, always on disk", None),
        (Some("1"), Some("no")) => {
            let what = "a crash of the server's machine loses the writes of up to half a minute, acknowledged ones too";
            ("append-only file, on disk when the system likes", Some((what, "CONFIG SET appendfsync always")))
        }
        (Some("1"), fsync) => {
            let what = "a crash of the server's machine may lose the acknowledged writes of the last second or two";
            let fact = if fsync.is_some() { "append-only file, on disk every second" } else { "append-only file" };
            (fact, Some((what, "CONFIG SET appendfsync always, at the price of slower writes")))
        }
        (Some(_), _) if snapshots == Some("") => {
            let what = "nothing is written to disk: a restart of the server loses every request and placement";
            ("none", Some((what, FIX)))
        }
        (Some(_), _) => {
            let what = "there are snapshots at most: a restart of the server loses all that was written since the last";
            ("snapshots", Some((what, FIX)))
        }
        (None, _) => return,
    };
    checks.facts.push(("persistence", fact.to_owned()));
    checks.warnings.extend(warning.map(|(what, fix)| Warning::new(what, fix)));
    for (status, what) in [
        ("aof_last_write_status", "the append-only file could not be written"),
        ("rdb_last_bgsave_status", "the last snapshot could not be written"),
    ] {
        if about.info(status).is_some_and(|status| status != "ok") {
            checks.warnings.push(Warning::new(what, "see the server's log and the room on its disk"));
        }
    }
}

fn replication(about: &About, checks: &mut Checks) {
    let Some(role) = about.info("role") else { return };
    if role != "master" {
        let what = "this server is a read-only replica: nothing can be written to it";
        checks.warnings.push(Warning::new(what, "name its primary"));
    }
    let replicas = about.info("connected_slaves").unwrap_or("0");
    checks.facts.push(("replicas", replicas.to_owned()));
    if replicas == "0" {
        return;
    }
    match about.setting("min-replicas-to-write") {
        Some("0") => checks.warnings.push(Warning::new(
            "a failover may lose acknowledged writes: the primary does not wait for its replicas, and goes on when cut \
             off from them",
            "CONFIG SET min-replicas-to-write 1, with min-replicas-max-lag below the grace of the cell",
        )),
        Some(least) => {
            let lag = about.setting("min-replicas-max-lag").unwrap_or("?");
            checks.facts.push(("replicas needed to write", format!("{least}, at most {lag} s behind")));
        }
        None => {}
    }
}

fn cluster(about: &About, checks: &mut Checks) {
    if about.info("cluster_enabled") != Some("1") {
        return;
    }
    checks.facts.push(("cluster", "yes".to_owned()));
    if about.setting("cluster-require-full-coverage") == Some("yes") {
        checks.warnings.push(Warning::new(
            "the cluster stops all cells when the slots of any node are lost",
            "CONFIG SET cluster-require-full-coverage no, on each node",
        ));
    }
}

fn untold(about: &About, checks: &mut Checks) {
    if let Some(said) = &about.info_refused {
        let what = format!("the server does not tell what it is ({said}): version, memory policy, persistence unknown");
        checks.warnings.push(Warning::new(what, "ACL SETUSER with +info, or see to them yourself"));
    }
    if let Some(said) = &about.config_refused {
        let what =
            format!("the server does not tell its settings ({said}): appendfsync, save, replicas to write unknown");
        checks.warnings.push(Warning::new(what, "ACL SETUSER with +config|get, or see to them yourself"));
    }
}

/// Whether a failure means that the server would tell, but not this user.
fn refusal(failure: Failure) -> Result<String, Failure> {
    match failure {
        // Managed servers take CONFIG away altogether: then it is an unknown command.
        Failure::NotAllowed { said, .. } | Failure::Script { said, .. } => Ok(said),
        failure => Err(failure),
    }
}

#[cfg(test)]
mod tests;
