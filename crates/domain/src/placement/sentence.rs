//! Reasons as people read them.

use super::{Explanation, Verdict};
use crate::quantity::{format_cpu, format_memory};
use crate::quota::{OverQuota, QuotaResource};
use crate::request::{Ask, GpuWish};
use crate::wait::{Largest, LargestOwner, LotKey, Rule, RuleCounts, Why};

/// Says why a request that asks `ask` waits.
pub fn sentence(why: &Why, ask: &Ask) -> String {
    match why {
        Why::NoWorkers => "no workers registered".to_owned(),
        Why::NoFit { never: Some(largest), .. } => never_fits(largest, ask),
        Why::NoFit { rules, never: None } => no_room(rules, ask),
        Why::Quota(over) => over_quota(over, ask),
        Why::Behind(ahead) => those_ahead(*ahead),
        Why::Settling { unregistered } => settling(*unregistered),
        Why::Corrupt(problem) => format!("its record cannot be read: {problem}"),
    }
}

impl Explanation {
    /// Says where the request, which asks `ask`, stands.
    pub fn sentence(&self, ask: &Ask) -> String {
        match &self.verdict {
            Verdict::Place { worker, .. } if self.fits.len() == 1 => format!("fits on {worker}"),
            Verdict::Place { worker, .. } => format!("fits on {} workers, on {worker} first", self.fits.len()),
            Verdict::Wait { lot: LotKey::Quota(workspace), why: Why::Behind(ahead) } => {
                format!("fits the quota of workspace {workspace}, but {}", those_ahead(*ahead))
            }
            Verdict::Wait { why: Why::Behind(ahead), .. } => format!("fits, but {}", those_ahead(*ahead)),
            wait if wait.is_demand() && !self.booting.is_empty() => self.waits_for_booting(),
            Verdict::Wait { why, .. } => sentence(why, ask),
        }
    }

    fn waits_for_booting(&self) -> String {
        match self.booting.as_slice() {
            [one] => format!("waits for a worker that is booting: {one}"),
            [first, rest @ ..] => {
                format!("waits for one of {} workers that are booting, such as {first}", rest.len() + 1)
            }
            [] => String::new(),
        }
    }
}

fn settling(unregistered: u64) -> String {
    let rest = match unregistered {
        0 => "what they ran may not have ended yet".to_owned(),
        1 => "1 worker has not said what it runs".to_owned(),
        many => format!("{many} workers have not said what they run"),
    };
    format!("the store lost writes, and it may still run somewhere: {rest}")
}

fn those_ahead(ahead: u64) -> String {
    format!("{ahead} {} ahead", if ahead == 1 { "request is" } else { "requests are" })
}

fn no_room(rules: &RuleCounts, ask: &Ask) -> String {
    let workers: u64 = rules.values().sum();
    let is_of_room = |rule: &Rule| matches!(rule, Rule::Cpu | Rule::Memory | Rule::GpuRoom);
    let head = if rules.keys().any(is_of_room) { "no worker has room" } else { "no worker takes it" };
    let mut of_all = format!(" of {workers} worker{}", if workers == 1 { "" } else { "s" });
    let parts = rules
        .iter()
        .map(|(rule, count)| format!("{count}{} {}", std::mem::take(&mut of_all), fault(*rule, ask, *count > 1)));
    let parts: Vec<String> = parts.collect();
    if parts.is_empty() { head.to_owned() } else { format!("{head}: {}", parts.join(", ")) }
}

/// What a worker that fails `rule` is or does, or several.
fn fault(rule: Rule, ask: &Ask, many: bool) -> String {
    let (is, has, does, s, its) =
        if many { ("are", "have", "do", "", "their") } else { ("is", "has", "does", "s", "its") };
    match rule {
        Rule::Machine => format!("{is} not on machine {}", word(ask.machine.as_ref())),
        Rule::Workspace => format!("serve{s} another workspace"),
        Rule::Pool if ask.pool.is_none() => format!("serve{s} only requests that name {its} pool"),
        Rule::Pool => format!("{is} not in pool {}", word(ask.pool.as_ref())),
        Rule::GpuType if ask.gpu.is_none() => format!("keep{s} {its} GPUs for requests that ask for them"),
        Rule::GpuType => format!("{has} no {}", wished_gpu(ask)),
        Rule::Runtime => format!("{does} not run {}", word(ask.runtime.as_ref())),
        Rule::Preemptible => "may be taken away at any time".to_owned(),
        Rule::Labels => format!("lack{s} {}", labels(ask)),
        Rule::Status => format!("{is} not available"),
        Rule::Cpu => format!("lack{s} cpu"),
        Rule::Memory => format!("lack{s} memory"),
        Rule::GpuRoom => format!("lack{s} GPU room"),
    }
}

fn never_fits(largest: &Largest, ask: &Ask) -> String {
    let who = match &largest.who {
        LargestOwner::Worker(id) => id.to_string(),
        LargestOwner::Pool(name) => format!("one of pool {name}"),
    };
    let gpus = ask.gpu.as_ref().map_or(0, |gpu| gpu.count);
    let (asks, has) = match largest.fails {
        Rule::Cpu => (format!("{} cpu", format_cpu(ask.cpu_milli)), format_cpu(largest.size.cpu_milli)),
        Rule::Memory => (memory_beyond(ask, largest), format_memory(largest.size.memory_mib)),
        Rule::GpuRoom => {
            (format!("{gpus} GPU{}", if gpus == 1 { "" } else { "s" }), largest.size.gpu_count.to_string())
        }
        rule => return format!("can never fit: even {who}, which comes closest, {}", fault(rule, ask, false)),
    };
    format!("can never fit: asks {asks}, the largest worker that may serve it, {who}, has {has}")
}

/// What is asked may be less than the worker has, and what is booked more.
fn memory_beyond(ask: &Ask, largest: &Largest) -> String {
    let asks = format_memory(ask.memory_mib);
    let overhead = if ask.memory_mib <= largest.size.memory_mib { " with its overhead on top" } else { "" };
    format!("{asks} of memory{overhead}")
}

fn over_quota(over: &OverQuota, ask: &Ask) -> String {
    let amount = |value: u64| match over.resource {
        QuotaResource::Cpu | QuotaResource::Gpus => format_cpu(value),
        QuotaResource::Memory => format_memory(value),
        QuotaResource::Containers => value.to_string(),
    };
    let what = match over.resource {
        QuotaResource::Cpu => "cpu",
        QuotaResource::Memory => "memory",
        QuotaResource::Gpus => "gpus",
        QuotaResource::Containers => "containers",
    };
    let (limit, used, needs, free) = (amount(over.limit), amount(over.used), amount(over.needs), amount(over.free()));
    let workspace = &ask.workspace;
    if over.can_never_fit() {
        return format!("can never fit the quota of workspace {workspace}: needs {needs} {what}, the limit is {limit}");
    }
    format!("quota of workspace {workspace}: needs {needs} {what}, {free} free ({used} of {limit} used)")
}

fn wished_gpu(ask: &Ask) -> String {
    match ask.gpu.as_ref().map(|gpu| &gpu.types) {
        Some(GpuWish::OneOf(types)) => {
            let types: Vec<&str> = types.iter().map(crate::id::GpuType::as_str).collect();
            format!("{} GPU", types.join(" or "))
        }
        _ => "GPU".to_owned(),
    }
}

fn labels(ask: &Ask) -> String {
    let words: Vec<String> = ask.labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
    format!("label{} {}", if words.len() == 1 { "" } else { "s" }, words.join(" "))
}

fn word<T: ToString>(name: Option<&T>) -> String {
    name.map_or_else(String::new, T::to_string)
}
