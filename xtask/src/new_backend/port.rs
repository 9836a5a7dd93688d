//! A port as its source has it, and the same with every step to be written.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use syn::spanned::Spanned as _;
use syn::visit::Visit;
use syn::{FnArg, Item, ItemTrait, Pat, TraitItem, UseTree};

/// One repository trait of `ports`.
pub(super) struct Port {
    pub(super) file: &'static str,
    /// The first line of its documentation.
    about: String,
    name: String,
    steps: Vec<Step>,
    /// What the steps name, by the path that it is imported from.
    imports: BTreeMap<String, BTreeSet<String>>,
}

struct Step {
    name: String,
    signature: String,
    arguments: Vec<String>,
}

impl Port {
    pub(super) fn read(root: &Path, file: &'static str) -> Result<Self> {
        let path = root.join(format!("crates/ports/src/{file}.rs"));
        let text = fs::read_to_string(&path).with_context(|| format!("failed to read {}", path.display()))?;
        let parsed = syn::parse_file(&text).with_context(|| format!("failed to parse {}", path.display()))?;
        let port = parsed.items.iter().find_map(|item| match item {
            Item::Trait(port) => Some(port),
            _ => None,
        });
        let port = port.with_context(|| format!("{} holds no trait", path.display()))?;
        let about = text.lines().next().unwrap_or_default().to_owned();
        let imports = imports(&parsed.items, &names_in(port));
        Ok(Self { file, about, name: port.ident.to_string(), steps: steps(port), imports })
    }

    /// The port's file of a store that has no step yet.
    pub(super) fn unwritten(&self) -> String {
        let import = |(path, names): (&String, &BTreeSet<String>)| {
            let names = names.iter().map(String::as_str).collect::<Vec<_>>().join(", ");
            format!("use {path}::{{{names}}};\n")
        };
        let step = |Step { name, signature, arguments }: &Step| {
            format!("    {signature} {{\n        unwritten(\"{name}\", ({},))\n    }}\n", arguments.join(", "))
        };
        let imports: String = self.imports.iter().map(import).collect();
        let steps = self.steps.iter().map(step).collect::<Vec<_>>().join("\n");
        let Self { about, name, .. } = self;
        format!(
            "{about}\n\nuse async_trait::async_trait;\n{imports}use ports::{name};\n\nuse crate::BackendPorts;\nuse crate::error::unwritten;\n\n\
             #[async_trait]\nimpl {name} for BackendPorts {{\n{steps}}}\n"
        )
    }
}

fn steps(port: &ItemTrait) -> Vec<Step> {
    let methods = port.items.iter().filter_map(|item| match item {
        TraitItem::Fn(method) => Some(&method.sig),
        _ => None,
    });
    let argument = |argument: &FnArg| match argument {
        FnArg::Typed(typed) => match &*typed.pat {
            Pat::Ident(name) => Some(name.ident.to_string()),
            _ => None,
        },
        FnArg::Receiver(_) => None,
    };
    let step = |signature: &syn::Signature| Step {
        name: signature.ident.to_string(),
        signature: signature.span().source_text().unwrap_or_default(),
        arguments: signature.inputs.iter().filter_map(argument).collect(),
    };
    methods.map(step).collect()
}

/// Every word of a path that the trait's methods name.
fn names_in(port: &ItemTrait) -> BTreeSet<String> {
    struct Names(BTreeSet<String>);

    impl<'ast> Visit<'ast> for Names {
        fn visit_path_segment(&mut self, segment: &'ast syn::PathSegment) {
            self.0.insert(segment.ident.to_string());
            syn::visit::visit_path_segment(self, segment);
        }
    }

    let mut names = Names(BTreeSet::new());
    for item in &port.items {
        if let TraitItem::Fn(method) = item {
            names.visit_signature(&method.sig);
        }
    }
    names.0
}

/// What of a file's imports, and of its own types, is named, by where another crate finds it.
fn imports(items: &[Item], named: &BTreeSet<String>) -> BTreeMap<String, BTreeSet<String>> {
    let mut found: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let mut import = |path: &str, name: String| {
        if named.contains(&name) {
            found.entry(path.to_owned()).or_default().insert(name);
        }
    };
    for item in items {
        match item {
            Item::Use(item) => flatten(&item.tree, "", &mut import),
            Item::Struct(item) => import("ports", item.ident.to_string()),
            Item::Enum(item) => import("ports", item.ident.to_string()),
            _ => {}
        }
    }
    found
}

fn flatten(tree: &UseTree, path: &str, import: &mut impl FnMut(&str, String)) {
    match tree {
        UseTree::Path(tree) => {
            let word = if tree.ident == "crate" { "ports".to_owned() } else { tree.ident.to_string() };
            let path = if path.is_empty() { word } else { format!("{path}::{word}") };
            flatten(&tree.tree, &path, import);
        }
        UseTree::Name(tree) => import(path, tree.ident.to_string()),
        UseTree::Group(tree) => tree.items.iter().for_each(|item| flatten(item, path, import)),
        UseTree::Rename(_) | UseTree::Glob(_) => {}
    }
}
