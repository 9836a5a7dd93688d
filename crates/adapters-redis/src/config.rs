#![allow(missing_docs)]
#[derive(Debug, Clone)]
pub struct RedisConfig { pub url: String }
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct BadConfig(String);
impl RedisConfig { pub fn parse(text: &str) -> Result<Self, BadConfig> { Ok(Self { url: text.to_owned() }) } }
