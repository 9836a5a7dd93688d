//! Quotas as documents write them.

use domain::quantity::{BadQuantity, Rounding, parse_cpu_milli, parse_gpu_milli, parse_memory_mib, parse_whole};
use domain::quota::{Limit, QuotaLimits, Usage};
use serde::{Deserialize, Serialize};

use super::field::BadField;
use super::json::some_object;
use super::quantity::Quantity;

/// The word for a limit that is none.
pub const UNLIMITED: &str = "unlimited";

/// What one workspace may use together. A limit is an amount, 0 for nothing at all, or `"unlimited"`; one that is left
/// out is the default.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct QuotaDocument {
    /// Cpu; 10,000 if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu: Option<Quantity>,
    /// Memory; 40Ti if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory: Option<Quantity>,
    /// GPUs; 1,000 if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gpus: Option<Quantity>,
    /// Containers; 100,000 if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub containers: Option<Quantity>,
    /// What it uses already; nothing if absent.
    #[serde(deserialize_with = "some_object", skip_serializing_if = "Option::is_none")]
    pub used: Option<UsageDocument>,
}

/// What a workspace uses.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct UsageDocument {
    /// Cpu.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu: Option<Quantity>,
    /// Memory.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory: Option<Quantity>,
    /// GPUs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gpus: Option<Quantity>,
    /// Containers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub containers: Option<Quantity>,
}

type Parse = fn(&str, Rounding) -> Result<u64, BadQuantity>;

fn parse_count(text: &str, _: Rounding) -> Result<u64, BadQuantity> {
    parse_whole(text)
}

impl QuotaDocument {
    /// The limits; what is left out is as in `default`.
    pub fn to_limits(&self, default: &QuotaLimits) -> Result<QuotaLimits, BadField> {
        let limit = |path, written: Option<&Quantity>, default: Limit, parse: Parse| match written {
            None => Ok(default),
            Some(written) if written.as_str() == UNLIMITED => Ok(Limit::Unlimited),
            Some(written) => parse(written.as_str(), Rounding::Down).map(Limit::AtMost).map_err(|bad| {
                let bad = BadField::quantity(path, &bad);
                BadField { problem: format!("{}, or \"{UNLIMITED}\"", bad.problem), ..bad }
            }),
        };
        Ok(QuotaLimits {
            cpu_milli: limit("cpu", self.cpu.as_ref(), default.cpu_milli, parse_cpu_milli)?,
            memory_mib: limit("memory", self.memory.as_ref(), default.memory_mib, parse_memory_mib)?,
            gpu_milli: limit("gpus", self.gpus.as_ref(), default.gpu_milli, parse_gpu_milli)?,
            containers: limit("containers", self.containers.as_ref(), default.containers, parse_count)?,
        })
    }

    /// What is used already.
    pub fn to_usage(&self) -> Result<Usage, BadField> {
        let used = self.used.as_ref().map_or_else(|| Ok(Usage::default()), UsageDocument::to_usage);
        used.map_err(|bad| bad.inside("used"))
    }
}

impl UsageDocument {
    fn to_usage(&self) -> Result<Usage, BadField> {
        let amount = |path, written: Option<&Quantity>, parse: Parse| {
            let read = |written: &Quantity| parse(written.as_str(), Rounding::Up);
            written.map_or(Ok(0), read).map_err(|bad| BadField::quantity(path, &bad))
        };
        Ok(Usage {
            cpu_milli: amount("cpu", self.cpu.as_ref(), parse_cpu_milli)?,
            memory_mib: amount("memory", self.memory.as_ref(), parse_memory_mib)?,
            gpu_milli: amount("gpus", self.gpus.as_ref(), parse_gpu_milli)?,
            containers: amount("containers", self.containers.as_ref(), parse_count)?,
        })
    }
}
