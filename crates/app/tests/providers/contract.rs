//! What every provider keeps to.

use std::path::Path;
use std::sync::Arc;

use app::config::ProviderConfig;
use ports::{AddOutcome, ProviderRemoveOutcome, WorkerProvider};

use crate::{Ground, TOKEN, ids, new_worker};

const COMING: AddOutcome = AddOutcome::Coming;
const GONE: ProviderRemoveOutcome = ProviderRemoveOutcome::Gone;

/// The program of the documents, started with what it needs to know.
pub(crate) fn example(ground: &Ground) -> ProviderConfig {
    let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/examples/provider.py");
    let words = [
        "env".to_owned(),
        format!("STATE={}", ground.folder.path().join("state").display()),
        format!("STOWPLAN={}", env!("CARGO_BIN_EXE_stowplan")),
        format!("STOWPLAN_TOKEN={TOKEN}"),
        program.to_str().unwrap().to_owned(),
    ];
    ProviderConfig::Command { command: words.to_vec() }
}

async fn keeps_the_contract(ground: &Ground, open: impl Fn() -> Arc<dyn WorkerProvider>) {
    let provider = open();
    assert_eq!(provider.list().await.unwrap(), []);
    assert_eq!(provider.add(vec![new_worker("w1"), new_worker("w2")]).await.unwrap(), [COMING, COMING]);
    let worker = ground.available("w1").await;
    ground.available("w2").await;
    let size = (worker["cpu_milli"].as_u64(), worker["memory_mib"].as_u64());
    assert_eq!((size, &worker["pool"]), ((Some(1_999), Some(1_025)), &"burst".into()), "{worker}");
    assert_eq!(worker["labels"]["zone"], "b=c");
    assert_eq!(provider.list().await.unwrap(), ids(&["w1", "w2"]));

    // Repeated, by this server or another, it changes nothing.
    let agents = ground.agents();
    assert_eq!(agents.len(), 2);
    for provider in [Arc::clone(&provider), open()] {
        assert_eq!(provider.add(vec![new_worker("w2"), new_worker("w1")]).await.unwrap(), [COMING, COMING]);
        assert_eq!(provider.list().await.unwrap(), ids(&["w1", "w2"]));
    }
    assert_eq!(ground.agents(), agents);

    assert_eq!(open().remove(ids(&["w1", "never"])).await.unwrap(), [GONE, GONE]);
    assert_eq!(provider.list().await.unwrap(), ids(&["w2"]));
    assert_eq!(provider.remove(ids(&["w1"])).await.unwrap(), [GONE], "repeated");
    assert_eq!(ground.agents().len(), 1);

    // Many ask for the same at once.
    let tries = (0..4).map(|_| (open(), new_worker("w3")));
    let tries: Vec<_> =
        tries.map(|(provider, worker)| tokio::spawn(async move { provider.add(vec![worker]).await })).collect();
    for tried in tries {
        assert_eq!(tried.await.unwrap().unwrap(), [COMING]);
    }
    ground.available("w3").await;
    assert_eq!(ground.agents().len(), 2, "w2 and one w3");
    assert_eq!(provider.remove(ids(&["w2", "w3"])).await.unwrap(), [GONE, GONE]);
    assert_eq!(provider.list().await.unwrap(), []);
    assert_eq!(ground.agents().len(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn agents_of_this_machine_keep_the_contract_of_providers() {
    let ground = Ground::new().await;
    keeps_the_contract(&ground, || ground.open(ProviderConfig::Process { agent_args: Vec::new() })).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_program_of_the_documents_keeps_the_contract_of_providers() {
    let ground = Ground::new().await;
    keeps_the_contract(&ground, || ground.open(example(&ground))).await;
}
