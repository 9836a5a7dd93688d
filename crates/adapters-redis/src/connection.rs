#![allow(missing_docs)]
use deadpool_redis::redis::{self, aio::MultiplexedConnection, AsyncConnectionConfig};
use domain::id::CellName;
use ports::{PortError, PortResult};
use crate::scripts::Script;
use crate::RedisConfig;
#[derive(Debug, Clone, Copy)]
pub(crate) enum Role { Planner, Workers, Callers }
pub(crate) struct Connections { pub(crate) client: redis::Client, held: [tokio::sync::Mutex<Option<MultiplexedConnection>>; 3] }
impl Connections {
    pub(crate) fn new(config: RedisConfig) -> PortResult<Self> {
        Ok(Self { client: redis::Client::open(config.url).map_err(PortError::unavailable)?, held: Default::default() })
    }
    async fn get(&self, role: Role) -> PortResult<MultiplexedConnection> {
        let mut held = self.held[role as usize].lock().await;
        if held.is_none() {
            let config = AsyncConnectionConfig::new().set_response_timeout(None);
            *held = Some(self.client.get_multiplexed_async_connection_with_config(&config).await.map_err(PortError::unavailable)?);
        }
        Ok(held.clone().unwrap())
    }
    pub(crate) async fn run(&self, role: Role, _cell: &CellName, script: &Script, keys: &[String], argument: &[u8]) -> PortResult<Vec<u8>> {
        let mut connection = self.get(role).await?;
        let mut command = redis::cmd("EVALSHA");
        command.arg(&script.digest).arg(keys.len()).arg(keys).arg(argument);
        match command.query_async(&mut connection).await {
            Err(error) if error.to_string().contains("NOSCRIPT") || error.kind() == redis::ErrorKind::Server(redis::ServerErrorKind::NoScript) => {
                let _: String = redis::cmd("SCRIPT").arg("LOAD").arg(&script.source).query_async(&mut connection).await.map_err(PortError::unavailable)?;
                command.query_async(&mut connection).await.map_err(|e| PortError::corrupt(script.name, e))
            }
            Err(error) if error.is_io_error() => { *self.held[role as usize].lock().await = None; Err(PortError::unavailable(error)) }
            other => other.map_err(|e| PortError::corrupt(script.name, e)),
        }
    }
}
