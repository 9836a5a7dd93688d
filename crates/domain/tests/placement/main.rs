//! Tables of small fleets and what becomes of the requests that meet them: one for every rule and preference.
#![expect(clippy::needless_raw_string_hashes, reason = "the form in which expect-test writes what it updates")]

mod amounts;
mod eligibility;
mod explain;
mod fitting;
mod lots;
mod packing;
mod pools;
mod preference;
mod provisioning;
mod quotas;
mod scenario;
