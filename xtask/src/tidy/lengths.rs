//! How long a file and a function may be, tests apart: a function fits on a screen, a file has one reason to exist.

use anyhow::{Context, Result};
use syn::visit::{self, Visit};
use syn::{Attribute, Block, ImplItemFn, ItemFn, ItemMod, Signature, TraitItemFn};

use super::Finding;
use super::source::{Source, is_rust};

const FILE_LINES_MAX: usize = 500;
const FUNCTION_LINES_MAX: usize = 70;

/// Something that may be longer, up to `lines`.
pub(super) struct Exception {
    path: &'static str,
    /// A function's name; empty for the file.
    function: &'static str,
    lines: usize,
    reason: &'static str,
}

/// Each with its reason. One that is needed no more is a finding too.
pub(super) const EXCEPTIONS: &[Exception] = &[];

/// A file or a function that is too long.
struct Long {
    path: String,
    /// Empty for the file.
    function: String,
    line: usize,
    lines: usize,
}

pub(super) fn check(sources: &[Source], exceptions: &[Exception]) -> Result<Vec<Finding>> {
    let mut long = Vec::new();
    for source in sources.iter().filter(|source| is_rust(&source.path) && !source.is_test) {
        let functions = functions(source).with_context(|| format!("failed to read {}", source.path))?;
        long.extend(functions.into_iter().filter(|function| function.lines > FUNCTION_LINES_MAX));
        let lines = lines_outside_tests(source);
        if lines > FILE_LINES_MAX {
            long.push(Long { path: source.path.clone(), function: String::new(), line: 1, lines });
        }
    }
    let stale = exceptions.iter().filter(|exception| !long.iter().any(|long| exception.is_of(long)));
    let mut findings: Vec<Finding> = stale.map(Exception::finding).collect();
    let excused =
        |long: &Long| exceptions.iter().any(|exception| exception.is_of(long) && long.lines <= exception.lines);
    findings.extend(long.iter().filter(|long| !excused(long)).map(Long::finding));
    Ok(findings)
}

fn lines_outside_tests(source: &Source) -> usize {
    let lines = source.text.lines().count();
    let in_tests =
        |line: &usize| source.mentions.test_lines.iter().any(|(first, last)| (*first..=*last).contains(line));
    (1..=lines).filter(|line| !in_tests(line)).count()
}

impl Exception {
    fn is_of(&self, long: &Long) -> bool {
        self.path == long.path && self.function == long.function
    }

    fn finding(&self) -> Finding {
        let what = format!("nothing at {} {} needs the exception \"{}\"", self.path, self.function, self.reason);
        Finding { file: "xtask/src/tidy/lengths.rs".to_owned(), line: 1, what, mend: "remove it".to_owned() }
    }
}

impl Long {
    fn finding(&self) -> Finding {
        let (what, lines_max, mend) = match self.function.as_str() {
            "" => ("the file".to_owned(), FILE_LINES_MAX, "give a part of it a file of its own"),
            name => (format!("the function {name}"), FUNCTION_LINES_MAX, "give its steps names"),
        };
        let what = format!("{what} has {} lines, more than {lines_max}", self.lines);
        Finding { file: self.path.clone(), line: self.line, what, mend: mend.to_owned() }
    }
}

/// The functions outside tests, measured from `fn` to the closing brace.
fn functions(source: &Source) -> Result<Vec<Long>> {
    let file = syn::parse_file(&source.text)?;
    let mut functions = Functions { path: &source.path, found: Vec::new() };
    functions.visit_file(&file);
    Ok(functions.found)
}

struct Functions<'a> {
    path: &'a str,
    found: Vec<Long>,
}

impl Functions<'_> {
    fn measure(&mut self, signature: &Signature, body: &Block) {
        let line = signature.fn_token.span.start().line;
        let lines = body.brace_token.span.close().end().line - line + 1;
        self.found.push(Long { path: self.path.to_owned(), function: signature.ident.to_string(), line, lines });
    }
}

impl<'ast> Visit<'ast> for Functions<'_> {
    fn visit_item_mod(&mut self, item: &'ast ItemMod) {
        if !is_test(&item.attrs) {
            visit::visit_item_mod(self, item);
        }
    }

    fn visit_item_fn(&mut self, item: &'ast ItemFn) {
        if !is_test(&item.attrs) {
            self.measure(&item.sig, &item.block);
            visit::visit_item_fn(self, item);
        }
    }

    fn visit_impl_item_fn(&mut self, item: &'ast ImplItemFn) {
        self.measure(&item.sig, &item.block);
        visit::visit_impl_item_fn(self, item);
    }

    fn visit_trait_item_fn(&mut self, item: &'ast TraitItemFn) {
        if let Some(body) = &item.default {
            self.measure(&item.sig, body);
        }
        visit::visit_trait_item_fn(self, item);
    }
}

fn is_test(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        let is_named = |name| attribute.path().segments.last().is_some_and(|segment| segment.ident == name);
        let is_for_tests = || attribute.parse_args::<syn::Path>().is_ok_and(|path| path.is_ident("test"));
        is_named("test") || (is_named("cfg") && is_for_tests())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn function(name: &str, lines: usize) -> String {
        format!("/// Doc.\nfn {name}() {{\n{}}}\n", "    f();\n".repeat(lines - 2))
    }

    fn found(text: &str, exceptions: &[Exception]) -> Vec<String> {
        let source = Source::new("crates/app/src/main.rs", text.to_owned()).unwrap();
        let findings = check(&[source], exceptions).unwrap();
        findings.iter().map(|finding| format!("{} {}", finding.line, finding.what)).collect()
    }

    #[test]
    fn a_long_function_is_found_wherever_it_is() {
        let long = ["2 the function long has 71 lines, more than 70"];
        assert!(found(&function("long", 70), &[]).is_empty());
        assert_eq!(found(&function("long", 71), &[]), long);
        assert_eq!(found(&format!("impl S {{ {} }}", function("long", 71)), &[]), long);
        assert_eq!(found(&format!("trait T {{ {} }}", function("long", 71)), &[]), long);
        assert_eq!(found(&format!("mod m {{ {} }}", function("long", 71)), &[]), long);
    }

    #[test]
    fn a_long_file_is_found() {
        assert!(found(&"const A: u8 = 1;\n".repeat(500), &[]).is_empty());
        assert_eq!(found(&"const A: u8 = 1;\n".repeat(501), &[]), ["1 the file has 501 lines, more than 500"]);
    }

    #[test]
    fn tests_may_be_long() {
        assert!(found(&format!("#[cfg(test)]\nmod tests {{ {} }}", function("long", 600)), &[]).is_empty());
        assert!(found(&format!("#[test]\n{}", function("long", 600)), &[]).is_empty());
    }

    #[test]
    fn an_exception_excuses_up_to_its_lines_and_only_while_it_is_needed() {
        let exception =
            |lines| [Exception { path: "crates/app/src/main.rs", function: "long", lines, reason: "a table" }];
        assert!(found(&function("long", 80), &exception(80)).is_empty());
        assert_eq!(found(&function("long", 81), &exception(80)).len(), 1);
        let stale = "1 nothing at crates/app/src/main.rs long needs the exception \"a table\"";
        assert_eq!(found(&function("long", 60), &exception(80)), [stale]);
    }
}
