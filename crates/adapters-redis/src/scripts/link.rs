//! A script as a server is given it: of what is shared only what it names, and numbers in the place of their names.
//!
//! A server runs a script from its first line at each call. What is defined there costs time whether or not it is used,
//! and a function the more, the more there stands between it and the names that it uses: for that, what is not shared by
//! all scripts is a function of its own.
//!
//! This reads scripts by how they are laid out: a statement begins at the margin, what is defined by `local`; a number has
//! a name in capitals, alone or in a table of numbers.

use std::collections::{HashMap, HashSet};
use std::ops::Range;

/// The script that begins with `shared`, which all do, and goes on with `own`.
pub(super) fn linked(shared: &str, own: &str) -> String {
    let mut statements = statements(shared);
    let shared = statements.len();
    statements.extend(self::statements(own));
    let numbers: HashMap<String, String> = statements.iter().flat_map(|statement| numbers(statement)).collect();
    for statement in &mut statements {
        *statement = with_numbers(statement, &numbers);
    }
    let kept = kept(&statements);
    let text =
        |range: Range<usize>| range.filter(|at| kept[*at]).map(|at| &*statements[at]).collect::<Vec<_>>().join("\n");
    format!("{}\nreturn (function()\n{}\nend)()", text(0..shared), text(shared..statements.len()))
}

/// The statements at the margin, without comments.
fn statements(script: &str) -> Vec<String> {
    let mut statements: Vec<String> = Vec::new();
    for line in script.lines() {
        let code = line.split_once(" -- ").map_or(line, |(code, _)| code).trim_end();
        let goes_on =
            code.starts_with(char::is_whitespace) || ["end", "}", ")"].iter().any(|end| code.starts_with(end));
        match statements.last_mut() {
            _ if code.is_empty() || code.trim_start().starts_with("--") => {}
            Some(statement) if goes_on => {
                statement.push('\n');
                statement.push_str(code);
            }
            _ => statements.push(code.to_owned()),
        }
    }
    statements
}

/// The names that a statement defines.
fn defined(statement: &str) -> Vec<&str> {
    let Some(rest) = statement.strip_prefix("local ") else { return Vec::new() };
    match rest.strip_prefix("function ") {
        Some(function) => function.split('(').next().into_iter().collect(),
        None => rest.split('=').next().unwrap_or_default().split(',').map(str::trim).collect(),
    }
}

/// The numbers that a statement names: `NAME`, or `TABLE.name` of each entry.
fn numbers(statement: &str) -> Vec<(String, String)> {
    let is_number = |value: &str| value.parse::<u64>().is_ok();
    let is_constant = |name: &str| name.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_');
    let named = statement.strip_prefix("local ").and_then(|rest| rest.split_once(" = "));
    let Some((name, value)) = named.filter(|(name, _)| is_constant(name)) else { return Vec::new() };
    if is_number(value) {
        return vec![(name.to_owned(), value.to_owned())];
    }
    let Some(entries) = value.strip_prefix('{').and_then(|entries| entries.strip_suffix('}')) else {
        return Vec::new();
    };
    let entries = entries.split(',').map(str::trim).filter(|entry| !entry.is_empty());
    let entries = entries.map(|entry| entry.split_once(" = ").filter(|(_, value)| is_number(value)));
    let entries: Option<Vec<_>> = entries.collect();
    let named = |(entry, value): (&str, &str)| (format!("{name}.{entry}"), value.to_owned());
    entries.unwrap_or_default().into_iter().map(named).collect()
}

/// A statement with the numbers themselves; as it is where it names one.
fn with_numbers(statement: &str, numbers: &HashMap<String, String>) -> String {
    if matches!(defined(statement)[..], [name] if numbers.contains_key(name)) {
        return statement.to_owned();
    }
    let is_of_path = |char: char| char.is_ascii_alphanumeric() || char == '_' || char == '.';
    let mut text = String::with_capacity(statement.len());
    let mut rest = statement;
    while let Some(from) = rest.find(is_of_path) {
        let (before, path) = rest.split_at(from);
        let (path, after) = path.split_at(path.find(|char| !is_of_path(char)).unwrap_or(path.len()));
        text.push_str(before);
        text.push_str(numbers.get(path).map_or(path, String::as_str));
        rest = after;
    }
    text.push_str(rest);
    text
}

/// Whether each statement is needed: it defines nothing, or what one that is needed names.
fn kept(statements: &[String]) -> Vec<bool> {
    let mut names: HashSet<&str> = HashSet::new();
    let mut kept = vec![false; statements.len()];
    loop {
        let before = names.len();
        for (statement, is_kept) in statements.iter().zip(&mut kept) {
            let defined = defined(statement);
            if !*is_kept && (defined.is_empty() || defined.iter().any(|name| names.contains(name))) {
                *is_kept = true;
                names.extend(words(statement));
            }
        }
        if names.len() == before {
            return kept;
        }
    }
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|char: char| !char.is_ascii_alphanumeric() && char != '_')
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHARED: &str = "
-- Says what it is.
local call = redis.call
local MOST = 10 -- of all
local ROW = {
  state = 2, lot = 3,
}
local ORDER = {
  state = 1, other = 'x',
}

-- Nobody calls it.
local function idle(row)
  return ROW.state
end

local function state_of(row)
  return row[ROW.state] or row[MOST] or ORDER.state
end

local state = state_of(call())
";

    #[test]
    fn a_script_is_what_it_names_with_numbers_for_their_names() {
        let own = "local idle = 1\nlocal count = 1\nif call() then\n  -- The state.\n  return state, MOST\nend\nreturn count\n";
        let expected = "local call = redis.call
local ORDER = {
  state = 1, other = 'x',
}
local function state_of(row)
  return row[2] or row[10] or ORDER.state
end
local state = state_of(call())
return (function()
local count = 1
if call() then
  return state, 10
end
return count
end)()";
        assert_eq!(linked(SHARED, own), expected);
    }
}
