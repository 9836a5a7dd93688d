//! The HTTP surface: one file a resource, the JSON shapes in [`crate::api`].
//!
//! A handler reads its documents, makes one store call, and writes down the answer; what it decides is how a refusal
//! reads. Everything that waits is bounded, and ends at once when the server closes.

mod about;
mod answer;
mod calls;
mod clock;
mod containers;
mod explain;
mod export;
mod fleet;
mod guard;
mod health;
mod orders;
mod pools;
mod read;
mod room;
mod view;
mod workers;

use std::future::Future;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::routing::{get, post};
use axum::serve::ListenerExt as _;
use domain::id::CellName;
use domain::model::backlog::Depth;
use ports::Ports;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::trace::TraceLayer;

use crate::api::about::SettingsDocument;
use crate::api::token::Token;
pub use clock::now;
use room::Room;
pub use view::Explain;

/// How long calls under way may take when the server closes.
const CLOSE_WITHIN: Duration = Duration::from_secs(5);

/// Writes the process's metrics as text.
pub type RenderMetrics = Arc<dyn Fn(Option<&Depth>) -> String + Send + Sync>;

/// What a server answers from.
#[derive(Clone)]
pub struct Server {
    /// The store.
    pub ports: Ports,
    /// The cell that it serves.
    pub cell: CellName,
    /// What callers must show; nothing if none, which only a loopback address may have.
    pub token: Option<Token>,
    /// What this process's planner knows.
    pub view: Arc<dyn Explain>,
    /// What `/metrics` answers.
    pub metrics: RenderMetrics,
    /// How long after its last accepted call a worker's containers may live.
    pub keepalive: Duration,
    /// How much longer until a silent worker's work is given away.
    pub grace: Duration,
    /// What `/v1/about` says is in force.
    pub settings: SettingsDocument,
}

/// Serves until `shutdown`; then ends what waits, and gives what is under way a moment to finish.
pub async fn serve<F>(listener: TcpListener, server: Server, shutdown: F) -> io::Result<()>
where
    F: Future<Output = ()> + Send + 'static,
{
    let (close, closing) = watch::channel(false);
    let room = Arc::new(Room::new(server, closing.clone()));
    let watcher = tokio::spawn(orders::watch(Arc::clone(&room)));
    // An order must not wait in our buffers for the acknowledgement of the one before.
    let listener = listener.tap_io(|connection| drop(connection.set_nodelay(true)));
    let graceful = axum::serve(listener, router(&room)).with_graceful_shutdown(async move {
        shutdown.await;
        close.send_replace(true);
    });
    let ended = tokio::select! {
        ended = graceful.into_future() => ended,
        () = cut_off(closing) => Ok(()),
    };
    watcher.abort();
    ended
}

async fn cut_off(mut closing: watch::Receiver<bool>) {
    // The sender goes away only together with the server.
    if closing.wait_for(|closing| *closing).await.is_ok() {
        tokio::time::sleep(CLOSE_WITHIN).await;
    } else {
        std::future::pending::<()>().await;
    }
}

fn router(room: &Arc<Room>) -> Router {
    let containers = Router::new()
        .route("/", get(containers::list).post(containers::submit))
        .route("/{id}", get(containers::get))
        .route("/{id}/stop", post(containers::stop))
        .route("/{id}/logs", get(containers::logs))
        .route("/{id}/explain", get(explain::explain));
    let workers = Router::new()
        .route("/", get(workers::list).post(calls::register))
        .route("/{id}", get(workers::get))
        .route("/{id}/heartbeat", post(calls::heartbeat))
        .route("/{id}/take", post(calls::take))
        .route("/{id}/report", post(calls::report))
        .route("/{id}/cordon", post(workers::cordon))
        .route("/{id}/uncordon", post(workers::uncordon))
        .route("/{id}/drain", post(workers::drain))
        .route("/{id}/remove", post(workers::remove));
    Router::new()
        .nest("/v1/containers", containers)
        .nest("/v1/workers", workers)
        .route("/v1/pools", get(pools::list))
        .route("/v1/about", get(about::about))
        .route("/v1/export", get(export::export))
        .route("/metrics", get(health::metrics))
        .route("/healthz", get(health::healthz))
        .route("/readyz", get(health::readyz))
        .fallback(answer::no_such_page)
        .method_not_allowed_fallback(answer::no_such_method)
        .layer(DefaultBodyLimit::max(room.ports.limits.call_bytes_max))
        .layer(from_fn(guard::limit_time))
        .layer(from_fn_with_state(Arc::clone(room), guard::check))
        .layer(CatchPanicLayer::custom(answer::panicked))
        .layer(TraceLayer::new_for_http())
        .with_state(Arc::clone(room))
}
