//! How connections are set up: whom to trust, who we are, and which waits are ours alone.

use std::sync::Arc;
use std::time::Duration;

use deadpool_redis::redis::aio::AsyncPushSender;
use deadpool_redis::redis::io::tcp::{TcpSettings, socket2::TcpKeepalive};
use deadpool_redis::redis::{
    AsyncConnectionConfig, Client, ClientTlsConfig, ConnectionAddr, ConnectionInfo, ErrorKind, IntoConnectionInfo,
    ProtocolVersion, RedisConnectionInfo, RedisError, RedisResult, ServerError, TlsCertificates,
};
use deadpool_redis::{Manager, Pool, PoolError, Runtime, Timeouts};
use ports::{PortError, PortResult};

use crate::address::Address;
use crate::config::{RedisConfig, Tls};
use crate::error::Failure;

/// After how much silence a peer is asked whether it is still there, and how often again. A connection whose other end
/// is gone without a word is found within a minute, though nobody calls.
const KEEPALIVE: (Duration, Duration) = (Duration::from_secs(15), Duration::from_secs(5));

/// How connections are set up, to whichever node.
#[derive(Clone)]
pub(crate) struct SetUp {
    config: Arc<RedisConfig>,
    /// Of an address with TLS, whose certificates every node's address takes over.
    pattern: Option<ConnectionAddr>,
}

impl SetUp {
    pub(crate) fn new(config: &RedisConfig) -> PortResult<Self> {
        let pattern = config.tls.as_ref().map(pattern).transpose();
        let pattern = pattern.map_err(|error| PortError::Unsupported(format!("these certificates: {error}")))?;
        Ok(Self { config: Arc::new(config.clone()), pattern })
    }

    pub(super) fn connect_timeout(&self) -> Duration {
        self.config.connect_timeout
    }

    /// A pool of at most `size` connections to a node. `pushed` is given what a server says without being asked, and
    /// that a connection has ended.
    pub(super) fn pool(&self, node: &Address, size: usize, pushed: impl AsyncPushSender) -> Result<Pool, Failure> {
        let info = self.connection_info(node);
        let manager = info.and_then(|info| Manager::new_with_config(info, self.connection_config(pushed)));
        let manager = manager.map_err(|error| Failure::unreachable(node, error))?;
        let limit = Some(self.connect_timeout());
        let timeouts = Timeouts { create: limit, recycle: limit, ..Timeouts::wait_millis(0) };
        let pool = Pool::builder(manager).max_size(size).timeouts(timeouts).runtime(Runtime::Tokio1).build();
        pool.map_err(|error| Failure::unreachable(node, error))
    }

    /// How to connect one connection that is in no pool.
    pub(crate) fn client(
        &self,
        node: &Address,
        pushed: impl AsyncPushSender,
    ) -> Result<(Client, AsyncConnectionConfig), Failure> {
        let client = self.connection_info(node).and_then(Client::open);
        let client = client.map_err(|error| Failure::unreachable(node, error))?;
        Ok((client, self.connection_config(pushed)))
    }

    fn connection_config(&self, pushed: impl AsyncPushSender) -> AsyncConnectionConfig {
        AsyncConnectionConfig::new()
            .set_connection_timeout(Some(self.connect_timeout()))
            // The crate's own is 500 ms, after which it says "timed out" of a script that has written.
            .set_response_timeout(None)
            .set_push_sender(pushed)
    }

    fn connection_info(&self, node: &Address) -> RedisResult<ConnectionInfo> {
        // RESP3, because only its connections tell at once that they have ended.
        let mut redis = RedisConnectionInfo::default()
            .set_protocol(ProtocolVersion::RESP3)
            .set_skip_set_lib_name()
            .set_db(self.config.database.into());
        if let Some(username) = &self.config.username {
            redis = redis.set_username(username);
        }
        if let Some(password) = &self.config.password {
            redis = redis.set_password(password);
        }
        let keepalive = TcpKeepalive::new().with_time(KEEPALIVE.0).with_interval(KEEPALIVE.1);
        // Without it, a small request waits for the acknowledgement of the one before.
        let tcp = TcpSettings::default().set_nodelay(true).set_keepalive(keepalive);
        let info = self.address(node).into_connection_info()?;
        Ok(info.set_redis_settings(redis).set_tcp_settings(tcp))
    }

    fn address(&self, node: &Address) -> ConnectionAddr {
        let (host, port) = (node.host.clone(), node.port);
        match &self.pattern {
            Some(ConnectionAddr::TcpTls { tls_params, .. }) => {
                ConnectionAddr::TcpTls { host, port, insecure: false, tls_params: tls_params.clone() }
            }
            _ => ConnectionAddr::Tcp(host, port),
        }
    }

    /// Why a pool gave no connection.
    pub(super) fn refused(&self, node: &Address, error: PoolError) -> Failure {
        match error {
            PoolError::Backend(error) => self.not_connected(node, error),
            PoolError::Timeout(_) => {
                Failure::unreachable(node, format!("no answer within {:?}", self.connect_timeout()))
            }
            other => Failure::unreachable(node, other),
        }
    }

    /// Why no connection was made. Nothing was sent but who we are.
    pub(crate) fn not_connected(&self, node: &Address, error: RedisError) -> Failure {
        if error.kind() == ErrorKind::RESP3NotSupported {
            return Failure::TooOld { node: node.clone() };
        }
        if error.detail().is_some_and(|detail| detail.contains("not allowed in cluster mode")) {
            return Failure::DatabaseOfCluster { node: node.clone(), database: self.config.database };
        }
        match ServerError::try_from(error) {
            Ok(refusal) => match Failure::replied(node, &refusal) {
                Failure::Script { said, .. } => Failure::unreachable(node, said),
                failure => failure,
            },
            Err(error) if error.is_timeout() => {
                Failure::unreachable(node, format!("no answer within {:?}", self.connect_timeout()))
            }
            Err(error) => Failure::unreachable(node, error),
        }
    }
}

/// An address with the certificates of `tls`, whose host and port mean nothing.
fn pattern(tls: &Tls) -> RedisResult<ConnectionAddr> {
    // The process may have chosen another already; which one it is makes no difference to us.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let identity = tls.identity.clone();
    let certificates = TlsCertificates {
        client_tls: identity.map(|(client_cert, client_key)| ClientTlsConfig { client_cert, client_key }),
        root_cert: tls.authority.clone(),
    };
    let any = ConnectionAddr::TcpTls { host: "localhost".into(), port: 1, insecure: false, tls_params: None };
    Ok(Client::build_with_tls(any, certificates)?.get_connection_info().addr().clone())
}
