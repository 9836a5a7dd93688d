//! What Rust code mentions: every path in it, in macros too, but in no comment, no string and no test.
//!
//! Tokens are read instead of a syntax tree, since a tree stops at each macro's door.

use anyhow::{Result, anyhow};
use proc_macro2::{Delimiter, Group, Spacing, TokenStream, TokenTree};

/// One path: `use a::{b, c::d}` mentions `a::b` and `a::c::d`. A name alone is a path of one segment.
#[derive(Debug)]
pub(super) struct Mention {
    /// `self` and `super` are resolved to what they mean in that file.
    pub(super) path: Vec<String>,
    pub(super) line: usize,
    pub(super) follow: Follow,
}

/// What stands behind a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Follow {
    /// An opening parenthesis.
    Call,
    /// A `!`, so a macro.
    Macro,
    Other,
}

#[derive(Default)]
pub(super) struct Mentions {
    pub(super) all: Vec<Mention>,
    /// Modules declared under `#[cfg(test)]` whose text is in files of their own.
    pub(super) test_modules: Vec<Vec<String>>,
    /// First and last line of each piece of test code.
    pub(super) test_lines: Vec<(usize, usize)>,
}

impl Mention {
    pub(super) fn last(&self) -> &str {
        self.path.last().map_or("", String::as_str)
    }

    pub(super) fn shown(&self) -> String {
        self.path.join("::")
    }
}

/// Reads the text of a file that is the module `module`.
pub(super) fn mentions(text: &str, module: &[String]) -> Result<Mentions> {
    let tokens: TokenStream = text.parse().map_err(|error| anyhow!("{error}"))?;
    let mut walk = Walk { module: module.to_vec(), found: Mentions::default() };
    walk.stream(tokens);
    Ok(walk.found)
}

struct Walk {
    module: Vec<String>,
    found: Mentions,
}

impl Walk {
    fn stream(&mut self, stream: TokenStream) {
        let trees: Vec<TokenTree> = stream.into_iter().collect();
        let mut at = 0;
        while at < trees.len() {
            at = self.step(&trees, at);
        }
    }

    /// Reads what starts at `at`, and tells where it ends.
    fn step(&mut self, trees: &[TokenTree], at: usize) -> usize {
        if let Some(attribute) = Attribute::at(trees, at) {
            return self.attribute(&attribute, trees, at);
        }
        match &trees[at] {
            TokenTree::Group(group) => {
                self.stream(group.stream());
                at + 1
            }
            TokenTree::Ident(keyword) => match (trees.get(at + 1), trees.get(at + 2)) {
                (Some(TokenTree::Ident(name)), Some(TokenTree::Group(body))) if keyword == "mod" => {
                    self.module.push(name.to_string());
                    self.stream(body.stream());
                    self.module.pop();
                    at + 3
                }
                (Some(TokenTree::Ident(_)), _) if keyword == "fn" => at + 2,
                _ => self.path(Vec::new(), trees, at),
            },
            TokenTree::Punct(_) | TokenTree::Literal(_) => at + 1,
        }
    }

    fn attribute(&mut self, attribute: &Attribute, trees: &[TokenTree], at: usize) -> usize {
        let behind = at + attribute.length;
        match attribute.kind() {
            Kind::Doc => behind,
            Kind::Test if attribute.is_inner => {
                self.found.test_lines.push((1, usize::MAX));
                trees.len()
            }
            Kind::Test => {
                let end = self.test_item(trees, behind);
                let last = trees[..end].last().map_or(0, |tree| tree.span().end().line);
                self.found.test_lines.push((trees[at].span().start().line, last));
                end
            }
            Kind::Other => {
                self.stream(attribute.group.stream());
                behind
            }
        }
    }

    /// Skips the item under a test attribute: it ends with its braces or its semicolon, a field with its comma.
    fn test_item(&mut self, trees: &[TokenTree], mut at: usize) -> usize {
        while let Some(attribute) = Attribute::at(trees, at) {
            at += attribute.length;
        }
        let words: Vec<String> = trees[at..].iter().take(5).map(ToString::to_string).collect();
        let keyword = words.iter().find(|word| *word != "pub" && !word.starts_with('(')).map_or("", String::as_str);
        if let Some([name, end]) = words.iter().skip_while(|word| *word != "mod").skip(1).collect::<Vec<_>>().get(..2)
            && *end == ";"
        {
            let module = self.module.iter().cloned().chain([(*name).clone()]);
            self.found.test_modules.push(module.collect());
        }
        let ends = |tree: &TokenTree| match tree {
            TokenTree::Punct(punct) => punct.as_char() == ';' || (punct.as_char() == ',' && !ITEMS.contains(&keyword)),
            TokenTree::Group(group) => group.delimiter() == Delimiter::Brace && keyword != "use",
            TokenTree::Ident(_) | TokenTree::Literal(_) => false,
        };
        trees[at..].iter().position(ends).map_or(trees.len(), |end| at + end + 1)
    }

    /// Reads the path whose next segment is at `at`, under the segments read before.
    fn path(&mut self, mut path: Vec<String>, trees: &[TokenTree], mut at: usize) -> usize {
        let line = trees[at].span().start().line;
        loop {
            match trees.get(at) {
                Some(TokenTree::Ident(ident)) if path.is_empty() && KEYWORDS.iter().any(|word| ident == word) => {
                    path.push(ident.to_string());
                    at += 1;
                    break;
                }
                Some(TokenTree::Ident(ident)) => path.push(ident.to_string()),
                Some(TokenTree::Punct(punct)) if punct.as_char() == '*' => {
                    path.push("*".to_owned());
                }
                Some(TokenTree::Group(group)) if group.delimiter() == Delimiter::Brace => {
                    self.branches(&path, group);
                    return at + 1;
                }
                // `::<` of a call.
                _ => break,
            }
            at += 1;
            if !is_path_separator(trees, at) {
                break;
            }
            at += 2;
        }
        let follow = match trees.get(at) {
            Some(TokenTree::Group(group)) if group.delimiter() == Delimiter::Parenthesis => Follow::Call,
            Some(TokenTree::Punct(punct)) if punct.as_char() == '!' && punct.spacing() == Spacing::Alone => {
                Follow::Macro
            }
            _ => Follow::Other,
        };
        self.found.all.push(Mention { path: self.resolved(path), line, follow });
        at
    }

    /// `{b, c::d, self, e as f}` behind a path of a `use`.
    fn branches(&mut self, path: &[String], group: &Group) {
        let trees: Vec<TokenTree> = group.stream().into_iter().collect();
        for branch in trees.split(|tree| matches!(tree, TokenTree::Punct(punct) if punct.as_char() == ',')) {
            match branch.first() {
                Some(TokenTree::Ident(ident)) if ident == "self" => {
                    let line = ident.span().start().line;
                    let path = self.resolved(path.to_vec());
                    self.found.all.push(Mention { path, line, follow: Follow::Other });
                }
                Some(_) => drop(self.path(path.to_vec(), branch, 0)),
                None => {}
            }
        }
    }

    fn resolved(&self, path: Vec<String>) -> Vec<String> {
        let mut base = self.module.clone();
        let supers = path.iter().take_while(|segment| *segment == "super" || *segment == "self").count();
        if supers == 0 || (path.len() == 1 && path[0] == "self") {
            return path;
        }
        for segment in &path[..supers] {
            if segment == "super" && base.len() > 1 {
                base.pop();
            }
        }
        base.extend_from_slice(&path[supers..]);
        base
    }
}

/// Words that start an item, whose generics may hold a comma.
const ITEMS: &[&str] = &[
    "async",
    "const",
    "enum",
    "extern",
    "fn",
    "impl",
    "macro_rules",
    "mod",
    "static",
    "struct",
    "trait",
    "type",
    "use",
];

/// Words that may stand before a path's leading `::` and are no part of it.
const KEYWORDS: &[&str] = &["as", "dyn", "for", "if", "impl", "in", "match", "mut", "return", "use", "where"];

fn is_path_separator(trees: &[TokenTree], at: usize) -> bool {
    matches!(trees.get(at..at + 2), Some([TokenTree::Punct(first), TokenTree::Punct(second)])
        if first.as_char() == ':' && first.spacing() == Spacing::Joint && second.as_char() == ':')
}

/// `#[..]` or `#![..]`.
pub(super) struct Attribute {
    pub(super) group: Group,
    is_inner: bool,
    length: usize,
}

enum Kind {
    Doc,
    Test,
    Other,
}

impl Attribute {
    pub(super) fn at(trees: &[TokenTree], at: usize) -> Option<Self> {
        let is = |tree: Option<&TokenTree>, wanted: char| matches!(tree, Some(TokenTree::Punct(punct)) if punct.as_char() == wanted);
        if !is(trees.get(at), '#') {
            return None;
        }
        let is_inner = is(trees.get(at + 1), '!');
        let length = if is_inner { 3 } else { 2 };
        match trees.get(at + length - 1) {
            Some(TokenTree::Group(group)) if group.delimiter() == Delimiter::Bracket => {
                Some(Self { group: group.clone(), is_inner, length })
            }
            _ => None,
        }
    }

    fn kind(&self) -> Kind {
        let text: String = self.group.stream().to_string().split_whitespace().collect();
        let name = text.split(['(', '=']).next().unwrap_or_default();
        match name {
            "doc" => Kind::Doc,
            "cfg" if text == "cfg(test)" || text.starts_with("cfg(all(test,") => Kind::Test,
            _ if name == "test" || name.ends_with("::test") => Kind::Test,
            _ => Kind::Other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Mentions {
        mentions(text, &["crate".to_owned(), "http".to_owned(), "pages".to_owned()]).unwrap()
    }

    fn paths(text: &str) -> Vec<String> {
        read(text).all.iter().filter(|mention| mention.path.len() > 1).map(Mention::shown).collect()
    }

    #[test]
    fn imports_are_taken_apart() {
        assert_eq!(paths("use a::{b, c::{d, self as e}, *};"), ["a::b", "a::c::d", "a::c", "a::*"]);
        assert_eq!(paths("pub(crate) use ::ports::BacklogRepository as Backlog;"), ["ports::BacklogRepository"]);
    }

    #[test]
    fn paths_are_seen_in_code_and_in_macros() {
        assert_eq!(paths("fn f() -> a::B { c::d::<e::F>(); matches!(x, g::H(_)) }"), ["a::B", "c::d", "e::F", "g::H"]);
    }

    #[test]
    fn comments_strings_and_tests_are_not_code() {
        let text = r#"
            //! a::b
            /// c::d
            fn f() { let s = "e::f"; } // g::h
            #[cfg(test)]
            use i::{j, k};
            #[cfg(test)]
            mod tests { use l::m; }
            #[tokio::test]
            async fn n() { o::p() }
            struct S { #[cfg(test)] q: r::s, t: u::v }
            #[test]
            fn w<A, B>() { x::y() }
            type T = fn(z::A);
        "#;
        assert_eq!(paths(text), ["u::v", "z::A"]);
        assert_eq!(read(text).test_lines, [(5, 6), (7, 8), (9, 10), (11, 11), (12, 13)]);
    }

    #[test]
    fn relative_paths_are_resolved() {
        assert_eq!(
            paths("use super::a; use self::b; use super::super::c;"),
            ["crate::http::a", "crate::http::pages::b", "crate::c"]
        );
        assert_eq!(paths("mod inner { use super::a; }"), ["crate::http::pages::a"]);
    }

    #[test]
    fn calls_and_macros_are_told_apart() {
        let read = read("fn plan() { plan(); self.plan(x); plan!(); a != plan }");
        let follows: Vec<Follow> =
            read.all.iter().filter(|mention| mention.last() == "plan").map(|mention| mention.follow).collect();
        assert_eq!(follows, [Follow::Call, Follow::Call, Follow::Macro, Follow::Other]);
    }

    #[test]
    fn a_test_module_in_another_file_is_named() {
        assert_eq!(read("#[cfg(test)] pub(crate) mod fakes;").test_modules, [["crate", "http", "pages", "fakes"]]);
        assert!(read("mod fakes;").test_modules.is_empty());
    }
}
