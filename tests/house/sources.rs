//! The sources of `src/`, read as Rust: which file names what of which other file, and the texts in it. What is compiled for
//! tests alone is left out.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use proc_macro2::{Span, TokenStream, TokenTree};
use syn::visit::{self, Visit};
use syn::{Attribute, File, Item, LitStr, Meta, UseTree};

/// A module, by the names on the way to it from the root of the crate; the root itself is empty.
type Module = Vec<String>;

/// All files of the crate, each a module.
pub(crate) struct Sources {
    modules: BTreeMap<Module, Source>,
}

/// One file.
struct Source {
    /// Its path below `src`.
    file: String,
    /// Modules that stand in files of their own below it.
    children: BTreeSet<String>,
    /// What each name that is imported stands for; whether it is handed on and not used by that alone.
    imports: BTreeMap<String, (Vec<String>, bool)>,
    /// Every path in its code, as written.
    paths: BTreeSet<Vec<String>>,
    /// Types that are declared in it: structs, enums, traits and aliases.
    types: BTreeSet<String>,
    /// Lines, without its tests.
    lines: usize,
    /// Its string literals and doc comments, each with its line.
    texts: Vec<(usize, String)>,
}

impl Sources {
    /// Reads every file below `root`.
    pub(crate) fn read(root: &Path) -> Self {
        let mut modules = BTreeMap::new();
        for path in super::files(root, "rs") {
            let inside = path.strip_prefix(root).expect("below the root");
            let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            if let Some(source) = Source::parse(&inside.display().to_string(), &text) {
                modules.insert(module_of(inside), source);
            }
        }
        // What is declared for tests alone has no parent that knows it.
        let mut known: BTreeSet<Module> = BTreeSet::from([vec!["main".to_owned()]]);
        let mut open = vec![Module::new()];
        while let Some(module) = open.pop() {
            let children = modules.get(&module).into_iter().flat_map(|source| &source.children);
            open.extend(children.map(|child| [module.as_slice(), std::slice::from_ref(child)].concat()));
            known.insert(module);
        }
        modules.retain(|module, _| known.contains(module));
        Self { modules }
    }

    /// The same from texts, to try the reading itself.
    pub(crate) fn of(texts: &[(&str, &str)]) -> Self {
        let source = |(path, text): &(&str, &str)| {
            (module_of(Path::new(path)), Source::parse(path, text).expect("a text that is compiled"))
        };
        Self { modules: texts.iter().map(source).collect() }
    }

    /// The circles between files: each a set of files of which each uses, by way of others, all of them.
    pub(crate) fn circles(&self) -> Vec<Vec<&str>> {
        let uses: BTreeMap<_, _> = self.modules.keys().map(|module| (module, self.used_by(module))).collect();
        let reached = |from: &Module| {
            let (mut seen, mut open) = (BTreeSet::new(), vec![from.clone()]);
            while let Some(module) = open.pop() {
                for next in uses.get(&module).into_iter().flatten() {
                    if seen.insert(next.clone()) {
                        open.push(next.clone());
                    }
                }
            }
            seen
        };
        let reached: BTreeMap<_, _> = self.modules.keys().map(|module| (module, reached(module))).collect();
        let circle = |module: &Module| {
            let others = reached[module].iter().filter(|other| reached[*other].contains(module));
            others.map(|other| self.modules[other].file.as_str()).collect::<Vec<_>>()
        };
        let circles: BTreeSet<_> = self.modules.keys().map(circle).filter(|files| files.len() > 1).collect();
        circles.into_iter().collect()
    }

    /// Types that are declared in more than one file, with these files.
    pub(crate) fn doubled_types(&self) -> BTreeMap<&str, Vec<&str>> {
        let mut declared: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for source in self.modules.values() {
            for name in &source.types {
                declared.entry(name).or_default().push(&source.file);
            }
        }
        declared.retain(|_, files| files.len() > 1);
        declared
    }

    /// How many lines each file has without its tests.
    pub(crate) fn lengths(&self) -> impl Iterator<Item = (&str, usize)> {
        self.modules.values().map(|source| (source.file.as_str(), source.lines))
    }

    /// The string literals and doc comments of each file, as file, line and text.
    pub(crate) fn texts(&self) -> impl Iterator<Item = (&str, usize, &str)> {
        self.modules
            .values()
            .flat_map(|source| source.texts.iter().map(|(line, text)| (source.file.as_str(), *line, text.as_str())))
    }

    /// The other files that a file uses.
    fn used_by(&self, module: &Module) -> BTreeSet<Module> {
        let source = &self.modules[module];
        let imported = source.imports.values().filter(|(_, is_handed_on)| !is_handed_on).map(|(path, _)| path);
        let used = imported.chain(&source.paths).filter_map(|path| self.home_of(module, path, 0));
        used.filter(|home| home != module && !home.is_empty() && self.modules.contains_key(home)).collect()
    }

    /// The file in which what a path names is declared, where that is a file of this crate.
    fn home_of(&self, from: &Module, path: &[String], depth: usize) -> Option<Module> {
        // Imports that lead in a ring do not compile; this is for what only looks like one.
        if depth > 16 {
            return None;
        }
        // A word alone is a name that was imported, or none: not a module, which would be followed by what it holds.
        if let ([name], 0) = (path, depth) {
            let (target, _) = self.modules.get(from)?.imports.get(name)?;
            return self.home_of(from, target, 1);
        }
        let (mut at, mut rest) = match path.first().map(String::as_str)? {
            "crate" => (Module::new(), &path[1..]),
            "self" => (from.clone(), &path[1..]),
            "super" => {
                let ups = path.iter().take_while(|name| *name == "super").count();
                (from[..from.len().checked_sub(ups)?].to_vec(), &path[ups..])
            }
            _ => (from.clone(), path),
        };
        let is_relative = at == *from && path.len() == rest.len();
        let mut has_moved = !is_relative;
        while let Some((name, behind)) = rest.split_first() {
            let source = self.modules.get(&at)?;
            if source.children.contains(name) {
                at.push(name.clone());
                (rest, has_moved) = (behind, true);
            } else if let Some((target, _)) = source.imports.get(name) {
                // A name that stands for something else, itself maybe handed on; what is behind it belongs to that.
                return self.home_of(&at, target, depth + 1);
            } else {
                break;
            }
        }
        has_moved.then_some(at)
    }
}

/// `a/b.rs` and `a/b/mod.rs` are the module `a::b`.
fn module_of(path: &Path) -> Module {
    let mut names: Module =
        path.with_extension("").components().map(|part| part.as_os_str().to_string_lossy().into_owned()).collect();
    if names.last().is_some_and(|name| name == "mod" || name == "lib") {
        names.pop();
    }
    names
}

impl Source {
    /// Reads one file; `None` where all of it is compiled for tests alone.
    fn parse(file: &str, text: &str) -> Option<Self> {
        let parsed: File = syn::parse_file(text).unwrap_or_else(|error| panic!("{file}: {error}"));
        if is_for_tests(&parsed.attrs) {
            return None;
        }
        let mut source = Self {
            file: file.to_owned(),
            children: BTreeSet::new(),
            imports: BTreeMap::new(),
            paths: BTreeSet::new(),
            types: BTreeSet::new(),
            lines: text.lines().count(),
            texts: Vec::new(),
        };
        parsed.attrs.iter().for_each(|attribute| source.visit_attribute(attribute));
        for item in &parsed.items {
            if is_for_tests(attributes(item)) {
                let span = syn::spanned::Spanned::span(item);
                source.lines = source.lines.saturating_sub(span.end().line - span.start().line + 1);
                continue;
            }
            match item {
                Item::Mod(module) if module.content.is_none() => {
                    source.children.insert(module.ident.to_string());
                }
                Item::Struct(item) => drop(source.types.insert(item.ident.to_string())),
                Item::Enum(item) => drop(source.types.insert(item.ident.to_string())),
                Item::Trait(item) => drop(source.types.insert(item.ident.to_string())),
                Item::Type(item) => drop(source.types.insert(item.ident.to_string())),
                Item::Macro(item) => source.types.extend(declared_in(item.mac.tokens.clone())),
                _ => {}
            }
            source.visit_item(item);
        }
        Some(source)
    }

    fn import(&mut self, tree: &UseTree, path: &mut Vec<String>, is_handed_on: bool) {
        match tree {
            UseTree::Path(part) => {
                path.push(part.ident.to_string());
                self.import(&part.tree, path, is_handed_on);
                path.pop();
            }
            UseTree::Name(name) if name.ident == "self" => {
                let last = path.last().cloned().unwrap_or_default();
                self.imports.insert(last, (path.clone(), is_handed_on));
            }
            UseTree::Name(name) => {
                let target = [path.as_slice(), &[name.ident.to_string()]].concat();
                self.imports.insert(name.ident.to_string(), (target, is_handed_on));
            }
            UseTree::Rename(rename) => {
                let target = [path.as_slice(), &[rename.ident.to_string()]].concat();
                self.imports.insert(rename.rename.to_string(), (target, is_handed_on));
            }
            UseTree::Glob(_) => drop(self.paths.insert(path.clone())),
            UseTree::Group(group) => group.items.iter().for_each(|tree| self.import(tree, path, is_handed_on)),
        }
    }

    /// The texts in these tokens.
    fn read_literals(&mut self, tokens: TokenStream) {
        for token in tokens {
            match token {
                TokenTree::Literal(literal) => self.read_literal(literal.span(), &literal.to_string()),
                TokenTree::Group(group) => self.read_literals(group.stream()),
                _ => {}
            }
        }
    }

    fn read_literal(&mut self, span: Span, written: &str) {
        if let Ok(literal) = syn::parse_str::<LitStr>(written) {
            self.texts.push((span.start().line, literal.value()));
        }
    }

    /// The paths and texts in what is given to a macro, which is no Rust before the macro has read it.
    fn read_tokens(&mut self, tokens: TokenStream) {
        let mut path: Vec<String> = Vec::new();
        let mut colons = 0;
        for token in tokens {
            match token {
                TokenTree::Ident(name) => {
                    if colons != 2 && !path.is_empty() {
                        self.paths.insert(std::mem::take(&mut path));
                    }
                    path.push(name.to_string());
                    colons = 0;
                }
                TokenTree::Punct(sign) if sign.as_char() == ':' && !path.is_empty() => colons += 1,
                TokenTree::Literal(literal) => {
                    self.read_literal(literal.span(), &literal.to_string());
                    if !path.is_empty() {
                        self.paths.insert(std::mem::take(&mut path));
                    }
                    colons = 0;
                }
                other => {
                    if !path.is_empty() {
                        self.paths.insert(std::mem::take(&mut path));
                    }
                    colons = 0;
                    if let TokenTree::Group(group) = other {
                        self.read_tokens(group.stream());
                    }
                }
            }
        }
        if !path.is_empty() {
            self.paths.insert(path);
        }
    }
}

impl<'ast> Visit<'ast> for Source {
    fn visit_item(&mut self, item: &'ast Item) {
        if !is_for_tests(attributes(item)) {
            visit::visit_item(self, item);
        }
    }

    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        let is_handed_on = !matches!(item.vis, syn::Visibility::Inherited);
        self.import(&item.tree, &mut Vec::new(), is_handed_on);
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        self.paths.insert(path.segments.iter().map(|segment| segment.ident.to_string()).collect());
        visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, called: &'ast syn::Macro) {
        self.visit_path(&called.path);
        self.read_tokens(called.tokens.clone());
    }

    // A visibility such as `pub(in crate::sink)` uses nothing.
    fn visit_visibility(&mut self, _: &'ast syn::Visibility) {}

    fn visit_lit_str(&mut self, literal: &'ast LitStr) {
        self.texts.push((literal.span().start().line, literal.value()));
    }

    // An attribute uses nothing, and holds texts: doc comments, and what clap and thiserror print.
    fn visit_attribute(&mut self, attribute: &'ast Attribute) {
        match &attribute.meta {
            Meta::NameValue(pair) => self.visit_expr(&pair.value),
            Meta::List(list) => self.read_literals(list.tokens.clone()),
            Meta::Path(_) => {}
        }
    }
}

/// Types that a macro such as `vocabulary!` declares.
fn declared_in(tokens: TokenStream) -> Vec<String> {
    let words: Vec<_> = tokens
        .into_iter()
        .map(|token| match token {
            TokenTree::Ident(name) => name.to_string(),
            _ => String::new(),
        })
        .collect();
    let pairs = words.windows(2).filter(|pair| matches!(pair[0].as_str(), "enum" | "struct"));
    pairs.map(|pair| pair[1].clone()).filter(|name| !name.is_empty()).collect()
}

fn is_for_tests(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| match &attribute.meta {
        Meta::List(list) if list.path.is_ident("cfg") => {
            list.tokens.clone().into_iter().next().is_some_and(|token| token.to_string() == "test")
        }
        _ => false,
    })
}

fn attributes(item: &Item) -> &[Attribute] {
    match item {
        Item::Const(item) => &item.attrs,
        Item::Enum(item) => &item.attrs,
        Item::Fn(item) => &item.attrs,
        Item::Impl(item) => &item.attrs,
        Item::Macro(item) => &item.attrs,
        Item::Mod(item) => &item.attrs,
        Item::Static(item) => &item.attrs,
        Item::Struct(item) => &item.attrs,
        Item::Trait(item) => &item.attrs,
        Item::Type(item) => &item.attrs,
        Item::Use(item) => &item.attrs,
        _ => &[],
    }
}

/// The keys and the words that a text's own types take from a file: fields as they are or as they are renamed, variants in kebab
/// case.
pub(crate) fn deserialized(text: &str) -> BTreeSet<String> {
    let file = syn::parse_file(text).expect("cargo has compiled it");
    let mut keys = BTreeSet::new();
    let mut fields = |fields: &syn::Fields| {
        let name = |field: &syn::Field| renamed(&field.attrs).or_else(|| Some(field.ident.as_ref()?.to_string()));
        let names = fields.iter().filter_map(name);
        keys.extend(names.map(|name| name.trim_start_matches('_').to_owned()));
    };
    let mut words = Vec::new();
    for item in &file.items {
        match item {
            Item::Struct(item) if is_deserialized(&item.attrs) => fields(&item.fields),
            Item::Enum(item) if is_deserialized(&item.attrs) => {
                for variant in &item.variants {
                    words.push(kebab(&variant.ident.to_string()));
                    fields(&variant.fields);
                }
            }
            _ => {}
        }
    }
    keys.extend(words);
    keys
}

/// The name that serde is told for a field.
fn renamed(attributes: &[Attribute]) -> Option<String> {
    let told = attributes.iter().filter(|attribute| attribute.path().is_ident("serde"));
    let mut told = told.filter_map(|attribute| attribute.meta.require_list().ok()).map(|list| list.tokens.to_string());
    told.find_map(|text| Some(text.split_once("rename = \"")?.1.split_once('"')?.0.to_owned()))
}

fn is_deserialized(attributes: &[Attribute]) -> bool {
    let derived = attributes.iter().filter(|attribute| attribute.path().is_ident("derive"));
    derived
        .filter_map(|attribute| attribute.meta.require_list().ok())
        .any(|list| list.tokens.clone().into_iter().any(|token| token.to_string() == "Deserialize"))
}

fn kebab(name: &str) -> String {
    let mut kebab = String::new();
    for letter in name.chars() {
        if letter.is_uppercase() && !kebab.is_empty() {
            kebab.push('-');
        }
        kebab.push(letter.to_ascii_lowercase());
    }
    kebab
}
