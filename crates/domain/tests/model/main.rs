//! The steps of a cell, rule by rule, and at random. Every step of every test is repeated and audited.

mod audits;
mod commits;
mod corrupt;
mod leaders;
mod lives;
mod readers;
mod registrations;
mod settling;
mod silences;
mod support;
mod walk;
