//! The policy as a plan document and the configuration write it.

use std::collections::BTreeMap;

use domain::fleet::{CpuOnGpuWorkers, Policy, Strategy};
use domain::id::{GpuType, PoolName};
use serde::{Deserialize, Serialize};

use super::calls::convert::each;
use super::field::{BadField, name};
use super::json::unique_keys;

/// Memory beyond this many hundredths on top is a slip of the hand.
const OVERHEAD_PERCENT_MAX: u32 = 1_000;

/// How requests are placed. Whatever is left out has the default that its line names.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PolicyDocument {
    /// `best-fit` or `spread`; `best-fit` if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub strategy: Option<String>,
    /// Memory booked on top of what is asked, in hundredths of it; 0 if absent.
    pub memory_overhead_percent: u32,
    /// Whether requests without GPUs may use workers with GPUs: `never` or `allowed`; `never` if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu_on_gpu_workers: Option<String>,
    /// Pools that may serve a request for a kind of GPU that cannot be had, the first choice first.
    #[serde(deserialize_with = "unique_keys", skip_serializing_if = "BTreeMap::is_empty")]
    pub failover: BTreeMap<String, Vec<String>>,
}

const STRATEGIES: [(&str, Strategy); 2] = [("best-fit", Strategy::BestFit), ("spread", Strategy::Spread)];
const CPU_ON_GPU_WORKERS: [(&str, CpuOnGpuWorkers); 2] =
    [("never", CpuOnGpuWorkers::Never), ("allowed", CpuOnGpuWorkers::Allowed)];

impl PolicyDocument {
    /// The policy, without quotas.
    pub fn to_policy(&self) -> Result<Policy, BadField> {
        let percent = self.memory_overhead_percent;
        if percent > OVERHEAD_PERCENT_MAX {
            let problem = format!("is too large; at most {OVERHEAD_PERCENT_MAX}");
            return Err(BadField::of("memory_overhead_percent", &percent.to_string(), &problem));
        }
        Ok(Policy {
            strategy: word("strategy", self.strategy.as_ref(), &STRATEGIES)?,
            memory_overhead_percent: percent,
            cpu_on_gpu_workers: word("cpu_on_gpu_workers", self.cpu_on_gpu_workers.as_ref(), &CPU_ON_GPU_WORKERS)?,
            failover: self.to_failover()?,
            quotas: None,
        })
    }

    fn to_failover(&self) -> Result<BTreeMap<GpuType, Vec<PoolName>>, BadField> {
        let mut failover = BTreeMap::new();
        for (text, pools) in &self.failover {
            let path = format!("failover.{text}");
            let kind = name(&path, text, GpuType::new)?;
            let pools = each(&path, pools, |pool| name("", pool, PoolName::new))?;
            if failover.insert(kind, pools).is_some() {
                return Err(BadField::of(path, text, "is there in other letters; they name the same kind, keep one"));
            }
        }
        Ok(failover)
    }
}

/// Reads one of some words; the default if it is absent.
pub(crate) fn word<T: Copy + Default>(
    path: &str,
    written: Option<&String>,
    words: &[(&str, T)],
) -> Result<T, BadField> {
    let Some(written) = written else { return Ok(T::default()) };
    let found = words.iter().find(|(word, _)| word == written).map(|(_, meaning)| *meaning);
    found.ok_or_else(|| {
        let known: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
        BadField::unknown(path, written, &known)
    })
}
