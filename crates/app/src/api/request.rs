//! A request as documents write it: `POST /v1/containers`, `submit --file`, the requests of a plan.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use domain::id::{ContainerId, GpuType, MachineName, PoolName, Runtime, Workspace};
use domain::request::{Ask, Body, GpuAsk, GpuWish, Labels, PRIORITY_MAX, PRIORITY_MIN, Submission};
use domain::resources::GPU_WHOLE_MILLI;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::calls::IfSilent;
use super::field::{BadField, name, some_name};
use super::is_default;
use super::json::{some_object, unique_keys};
use super::quantity::{Amount, Quantity};
use crate::api::period::{format_period, parse_period};

/// The workspace of requests that name none.
pub const DEFAULT_WORKSPACE: &str = "default";
/// The cpu of requests that ask for none.
pub const DEFAULT_CPU_MILLI: u64 = 1000;
/// The memory of requests that ask for none.
pub const DEFAULT_MEMORY_MIB: u64 = 512;

/// A request. Whatever is left out has the default that its line names.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RequestDocument {
    /// The caller's name for it: handing in the same id and content again changes nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// Whose quota it counts against; `default` if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub workspace: Option<String>,
    /// Cpu, such as `2`, `0.5` or `"500m"`; 1 if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu: Option<Quantity>,
    /// Cpu as an exact integer; instead of `cpu`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu_milli: Option<Quantity>,
    /// Memory with a unit, such as `"1.5Gi"`; 512Mi if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory: Option<Quantity>,
    /// Memory as an exact integer; instead of `memory`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_mib: Option<Quantity>,
    /// GPUs; none if absent.
    #[serde(deserialize_with = "some_object", skip_serializing_if = "Option::is_none")]
    pub gpu: Option<GpuDocument>,
    /// The only pool that may serve it; any if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pool: Option<String>,
    /// The only machine that may serve it; any if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub machine: Option<String>,
    /// What is to run it; any if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub runtime: Option<String>,
    /// Whether it may run where it can be interrupted; no if absent.
    #[serde(skip_serializing_if = "is_default")]
    pub preemptible: bool,
    /// From -100 to 100, higher first; 0 if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub priority: Option<Quantity>,
    /// Requests with the same key prefer the same worker.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub affinity: Option<String>,
    /// Labels that its worker must carry.
    #[serde(deserialize_with = "unique_keys", skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// The program and its arguments.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub command: Vec<String>,
    /// Its own environment.
    #[serde(deserialize_with = "unique_keys", skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<String, String>,
    /// Its working folder on the worker, from the root there: `tmp` is `/tmp`; an empty folder of its own if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cwd: Option<String>,
    /// How long one attempt may run, such as `10m`; for ever if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout: Option<String>,
    /// What happens to it when its worker reaches no server for the keepalive; `stop` if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub if_silent: Option<IfSilent>,
    /// From TERM to KILL; 10 s if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kill_after: Option<String>,
}

/// GPUs that a request wants.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GpuDocument {
    /// The kinds that it accepts, the most wished first; `"any"` if absent.
    #[serde(default)]
    pub types: GpuTypes,
    /// How many devices; 1 if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub count: Option<Quantity>,
    /// How much of each device, in thousandths; 1000 if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub milli: Option<Quantity>,
}

/// The kinds of GPU that a request accepts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum GpuTypes {
    /// `"any"`
    #[default]
    Any,
    /// `["T4", ...]`
    OneOf(Vec<String>),
}

impl Serialize for GpuTypes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Any => serializer.serialize_str("any"),
            Self::OneOf(types) => types.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for GpuTypes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Types;
        impl<'de> de::Visitor<'de> for Types {
            type Value = GpuTypes;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("\"any\" or a list of types, [\"T4\"]")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<GpuTypes, E> {
                match text {
                    "any" => Ok(GpuTypes::Any),
                    other => Err(E::custom(format!("{other:?} is no list; write [{other:?}] or \"any\""))),
                }
            }

            fn visit_seq<A: de::SeqAccess<'de>>(self, mut seq: A) -> Result<GpuTypes, A::Error> {
                let mut types = Vec::new();
                while let Some(kind) = seq.next_element()? {
                    types.push(kind);
                }
                Ok(GpuTypes::OneOf(types))
            }
        }
        deserializer.deserialize_any(Types)
    }
}

impl RequestDocument {
    /// The request as a store takes it.
    pub fn to_submission(&self) -> Result<Submission, BadField> {
        // What is asked comes first: a name is the easiest to mend.
        let (ask, body, id) = (self.to_ask()?, self.to_body()?, self.to_id()?);
        Ok(Submission::new(id, ask, body, self.if_silent.unwrap_or_default().into()))
    }

    /// Its name, which must be given.
    pub fn to_id(&self) -> Result<ContainerId, BadField> {
        let id = self.id.as_ref().ok_or_else(|| BadField::missing("id", "give each request a name of its own"))?;
        name("id", id, ContainerId::new)
    }

    /// What a planner reads of it.
    pub fn to_ask(&self) -> Result<Ask, BadField> {
        let workspace = self.workspace.as_deref().unwrap_or(DEFAULT_WORKSPACE);
        let ask = Ask {
            workspace: name("workspace", workspace, Workspace::new)?,
            cpu_milli: Amount::cpu(self.cpu.as_ref(), self.cpu_milli.as_ref()).asked(DEFAULT_CPU_MILLI)?,
            memory_mib: Amount::memory(self.memory.as_ref(), self.memory_mib.as_ref()).asked(DEFAULT_MEMORY_MIB)?,
            gpu: self.gpu.as_ref().map(|gpu| gpu.to_ask().map_err(|bad| bad.inside("gpu"))).transpose()?,
            pool: some_name("pool", self.pool.as_ref(), PoolName::new)?,
            machine: some_name("machine", self.machine.as_ref(), MachineName::new)?,
            runtime: some_name("runtime", self.runtime.as_ref(), Runtime::new)?,
            preemptible: self.preemptible,
            priority: self.priority.as_ref().map_or(Ok(0), to_priority)?,
            affinity: self.affinity.as_deref().map(Into::into),
            labels: to_labels(&self.labels),
        };
        ask.check()?;
        Ok(ask)
    }

    /// Checks what only its worker would read; the command may be absent, for a plan runs nothing.
    pub fn check_body(&self) -> Result<(), BadField> {
        if self.command.is_empty() {
            Self { command: vec!["none".to_owned()], ..self.clone() }.to_body()?;
        } else {
            self.to_body()?;
        }
        Ok(())
    }

    fn to_body(&self) -> Result<Body, BadField> {
        let body = Body {
            command: self.command.clone(),
            env: self.env.clone(),
            cwd: self.cwd.clone(),
            timeout: to_period("timeout", self.timeout.as_ref())?,
            kill_after: to_period("kill_after", self.kill_after.as_ref())?,
        };
        if body.timeout.is_some_and(|timeout| timeout.is_zero()) {
            let text = self.timeout.as_deref().unwrap_or_default();
            return Err(BadField::of("timeout", text, "is nothing; leave it out for no timeout"));
        }
        body.check()?;
        Ok(body)
    }

    /// The request of a container that is there, in exact integers. Lists know no body.
    pub fn of(id: &ContainerId, ask: &Ask, if_silent: domain::request::IfSilent, body: Option<&Body>) -> Self {
        let nothing = Body::default();
        let body = body.unwrap_or(&nothing);
        let owned = |text: &str| text.to_owned();
        Self {
            id: Some(id.to_string()),
            workspace: Some(ask.workspace.to_string()),
            cpu: None,
            cpu_milli: Some(Quantity::integer(ask.cpu_milli)),
            memory: None,
            memory_mib: Some(Quantity::integer(ask.memory_mib)),
            gpu: ask.gpu.as_ref().map(GpuDocument::of),
            pool: ask.pool.as_ref().map(ToString::to_string),
            machine: ask.machine.as_ref().map(ToString::to_string),
            runtime: ask.runtime.as_ref().map(ToString::to_string),
            preemptible: ask.preemptible,
            priority: (ask.priority != 0).then(|| Quantity::signed(ask.priority.into())),
            affinity: ask.affinity.as_deref().map(owned),
            labels: ask.labels.iter().map(|(key, value)| (owned(key), owned(value))).collect(),
            command: body.command.clone(),
            env: body.env.clone(),
            cwd: body.cwd.clone(),
            timeout: body.timeout.map(format_period),
            if_silent: Some(if_silent.into()),
            kill_after: body.kill_after.map(format_period),
        }
    }
}

impl GpuDocument {
    fn to_ask(&self) -> Result<GpuAsk, BadField> {
        let types = match &self.types {
            GpuTypes::Any => GpuWish::Any,
            GpuTypes::OneOf(types) => {
                let read = |(index, kind): (usize, &String)| {
                    name("", kind, GpuType::new).map_err(|bad| bad.at(index).inside("types"))
                };
                GpuWish::OneOf(types.iter().enumerate().map(read).collect::<Result<_, _>>()?)
            }
        };
        let count = self.count.as_ref().map_or(Ok(1), |count| count.whole_u32("count"))?;
        let milli = self.milli.as_ref().map_or(Ok(GPU_WHOLE_MILLI), |milli| milli.whole_u32("milli"))?;
        Ok(GpuAsk { types, count, milli })
    }

    fn of(ask: &GpuAsk) -> Self {
        let types = match &ask.types {
            GpuWish::Any => GpuTypes::Any,
            GpuWish::OneOf(types) => GpuTypes::OneOf(types.iter().map(ToString::to_string).collect()),
        };
        let (count, milli) = (Quantity::integer(ask.count.into()), Quantity::integer(ask.milli.into()));
        Self { types, count: Some(count), milli: Some(milli) }
    }
}

fn to_priority(written: &Quantity) -> Result<i8, BadField> {
    let text = written.as_str();
    let priority = text.parse::<i8>().ok().filter(|priority| (PRIORITY_MIN..=PRIORITY_MAX).contains(priority));
    priority.ok_or_else(|| {
        BadField::of("priority", text, &format!("is not a whole number from {PRIORITY_MIN} to {PRIORITY_MAX}"))
    })
}

fn to_period(path: &'static str, text: Option<&String>) -> Result<Option<Duration>, BadField> {
    text.map(|text| parse_period(text).map_err(|bad| BadField::period(path, &bad))).transpose()
}

/// Labels as the domain holds them.
pub(crate) fn to_labels(labels: &BTreeMap<String, String>) -> Labels {
    labels.iter().map(|(key, value)| (key.as_str().into(), value.as_str().into())).collect()
}

impl From<IfSilent> for domain::request::IfSilent {
    fn from(document: IfSilent) -> Self {
        match document {
            IfSilent::Stop => Self::Stop,
            IfSilent::Keep => Self::Keep,
        }
    }
}

impl From<domain::request::IfSilent> for IfSilent {
    fn from(ask: domain::request::IfSilent) -> Self {
        match ask {
            domain::request::IfSilent::Stop => Self::Stop,
            domain::request::IfSilent::Keep => Self::Keep,
        }
    }
}
