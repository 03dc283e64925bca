// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! Imports between source files, from `use`, `mod` and paths in the code.
//!
//! A path is followed through re-exports to the file that defines the item: a `mod.rs` that only
//! hands names on is no way around a rule. Code for tests is not looked at. A path to a
//! module as such is no import.

use std::collections::{BTreeMap, BTreeSet};

use proc_macro2::{Delimiter, TokenStream, TokenTree};

/// A path to a module or an item, the name of its crate first.
type Path = Vec<String>;

/// Names that one file takes from another.
pub type Imports = BTreeMap<(String, String), BTreeSet<String>>;

/// The modules of some crates.
#[derive(Default)]
pub struct Tree {
    modules: BTreeMap<Path, Module>,
}

#[derive(Default)]
struct Module {
    file: String,
    /// Names that `use` has brought in, and what they stand for.
    uses: BTreeMap<String, Path>,
    globs: Vec<Path>,
    /// Paths in the code.
    paths: Vec<Path>,
}

impl Tree {
    /// Reads the crate `name`, from its root file on. `sources`: text by file name.
    pub fn add_crate(&mut self, name: &str, root: &str, sources: &BTreeMap<String, String>) {
        let folder = root.rsplit_once('/').map_or("", |(folder, _)| folder);
        let mut files = vec![(vec![name.to_owned()], root.to_owned(), folder.to_owned())];
        while let Some((path, file, folder)) = files.pop() {
            let text = sources.get(&file).unwrap_or_else(|| panic!("{file} is missing"));
            let tokens = text.parse().unwrap_or_else(|why| panic!("{file}: {why}"));
            let mut children = Vec::new();
            self.scan(tokens, &path, &file, &mut children);
            for child in children {
                let (own, nested) =
                    (format!("{folder}/{child}.rs"), format!("{folder}/{child}/mod.rs"));
                let file = if sources.contains_key(&own) { own } else { nested };
                let path = path.iter().chain([&child]).cloned().collect();
                files.push((path, file, format!("{folder}/{child}")));
            }
        }
    }

    /// Notes what the tokens of one module say; the names of its child modules go to `children`.
    fn scan(&mut self, tokens: TokenStream, path: &Path, file: &str, children: &mut Vec<String>) {
        self.modules.entry(path.clone()).or_default().file.replace_range(.., file);
        let tokens: Vec<TokenTree> = tokens.into_iter().collect();
        let mut at = 0;
        while at < tokens.len() {
            let module = self.modules.get_mut(path).unwrap();
            match &tokens[at] {
                token if is(token, '#') => at = after_attribute(&tokens, at),
                TokenTree::Ident(word) if word == "use" => {
                    let end = end_of(&tokens, at, |token| is(token, ';'));
                    module.add_use(&tokens[at + 1..end], &[]);
                    at = end;
                }
                TokenTree::Ident(word) if word == "mod" => {
                    let name = tokens[at + 1].to_string();
                    match &tokens[at + 2] {
                        TokenTree::Group(body) => {
                            let path = path.iter().chain([&name]).cloned().collect();
                            self.scan(body.stream(), &path, file, children);
                        }
                        _ => children.push(name),
                    }
                    at += 3;
                }
                TokenTree::Ident(_) => {
                    let (words, end) = path_at(&tokens, at);
                    // Not a method or field, a lifetime, or the path of an external crate.
                    let before = |back, puncts: &str| {
                        let token = at.checked_sub(back).map(|before| &tokens[before]);
                        token.is_some_and(|token| puncts.chars().any(|punct| is(token, punct)))
                    };
                    let foreign = before(1, "'.") || before(1, ":") && before(2, ":");
                    if words.len() > 1 && !foreign {
                        module.paths.push(words);
                    }
                    at = end;
                }
                TokenTree::Group(group) => {
                    self.scan(group.stream(), path, file, children);
                    at += 1;
                }
                TokenTree::Punct(_) | TokenTree::Literal(_) => at += 1,
            }
        }
    }

    /// Whether `file` is a module of a crate.
    pub fn has(&self, file: &str) -> bool {
        self.modules.values().any(|module| module.file == file)
    }

    /// Every import of a file from another.
    pub fn imports(&self) -> Imports {
        let mut imports = Imports::new();
        for (path, module) in &self.modules {
            let named = module.uses.values().chain(&module.paths).filter_map(|target| {
                let (target, item) = self.resolve(path, target)?;
                Some((target, item?))
            });
            let globs = module
                .globs
                .iter()
                .filter_map(|target| Some((self.resolve(path, target)?.0, String::from("*"))));
            for (target, item) in named.chain(globs) {
                let file = &self.modules[&target].file;
                if *file != module.file {
                    let pair = (module.file.clone(), file.clone());
                    imports.entry(pair).or_default().insert(item);
                }
            }
        }
        imports
    }

    /// The module that `target`, as written in `scope`, leads to, and the item in it; `None` for
    /// what is in no crate of the tree.
    fn resolve(&self, scope: &Path, target: &[String]) -> Option<(Path, Option<String>)> {
        let (first, rest) = target.split_first()?;
        let parent = || scope[..scope.len() - 1].to_vec();
        let child = || scope.iter().chain([first]).cloned().collect::<Path>();
        let start = match first.as_str() {
            "crate" => scope[..1].to_vec(),
            "self" => scope.clone(),
            "super" => parent(),
            _ if self.modules.contains_key(&child()) => child(),
            name => match self.modules[scope].uses.get(name) {
                Some(path) if path[0] != name => return self.resolve(scope, &join(path, rest)),
                _ if self.modules.contains_key(&[name.to_owned()][..]) => vec![name.to_owned()],
                _ => return None,
            },
        };
        self.walk(start, rest)
    }

    fn walk(&self, mut module: Path, rest: &[String]) -> Option<(Path, Option<String>)> {
        for (index, name) in rest.iter().enumerate() {
            if name == "super" {
                module.pop();
                continue;
            }
            let child: Path = module.iter().chain([name]).cloned().collect();
            if self.modules.contains_key(&child) {
                module = child;
            } else if let Some(path) = self.modules[&module].uses.get(name) {
                return self.resolve(&module, &join(path, &rest[index + 1..]));
            } else {
                return Some((module, Some(name.clone())));
            }
        }
        Some((module, None))
    }
}

impl Module {
    /// Notes a tree of `use`, which continues `prefix`.
    fn add_use(&mut self, tokens: &[TokenTree], prefix: &[String]) {
        let mut path = prefix.to_vec();
        let mut alias = None;
        for (at, token) in tokens.iter().enumerate() {
            match token {
                TokenTree::Ident(word) if word == "as" => {
                    alias = tokens.get(at + 1).map(ToString::to_string);
                    break;
                }
                TokenTree::Ident(word) => path.push(word.to_string()),
                TokenTree::Group(list) => {
                    let list: Vec<TokenTree> = list.stream().into_iter().collect();
                    return list
                        .split(|token| is(token, ','))
                        .filter(|one| !one.is_empty())
                        .for_each(|one| self.add_use(one, &path));
                }
                token if is(token, '*') => return self.globs.push(path),
                _ => {}
            }
        }
        if path.len() > 1 && path.last().is_some_and(|last| last == "self") {
            path.pop();
        }
        if let (Some(name), true) = (alias.or_else(|| path.last().cloned()), path.len() > 1) {
            self.uses.insert(name, path);
        }
    }
}

fn join(path: &[String], rest: &[String]) -> Path {
    path.iter().chain(rest).cloned().collect()
}

fn is(token: &TokenTree, punct: char) -> bool {
    matches!(token, TokenTree::Punct(found) if found.as_char() == punct)
}

fn end_of(tokens: &[TokenTree], from: usize, is_end: impl Fn(&TokenTree) -> bool) -> usize {
    (from..tokens.len()).find(|&at| is_end(&tokens[at])).unwrap_or(tokens.len())
}

/// The words of the path that begins at `at`, and where it ends.
fn path_at(tokens: &[TokenTree], mut at: usize) -> (Path, usize) {
    let mut words = vec![tokens[at].to_string()];
    let ident = |at| matches!(tokens.get(at), Some(TokenTree::Ident(_)));
    let colon = |at| tokens.get(at).is_some_and(|token: &TokenTree| is(token, ':'));
    while colon(at + 1) && colon(at + 2) && ident(at + 3) {
        at += 3;
        words.push(tokens[at].to_string());
    }
    (words, at + 1)
}

/// Where the code goes on after the attribute at `at`: behind the item, if that is for tests only.
fn after_attribute(tokens: &[TokenTree], at: usize) -> usize {
    let group = end_of(tokens, at, |token| matches!(token, TokenTree::Group(_)));
    let text = tokens.get(group).map(ToString::to_string).unwrap_or_default();
    let text: String = text.split_whitespace().collect();
    if !text.starts_with("[cfg(test") {
        return group + 1;
    }
    let is_end = |token: &TokenTree| {
        let is_body = |group: &proc_macro2::Group| group.delimiter() == Delimiter::Brace;
        is(token, ';') || matches!(token, TokenTree::Group(group) if is_body(group))
    };
    end_of(tokens, group + 1, is_end) + 1
}

/// The circles of files that import each other, each sorted.
pub fn circles(imports: &Imports) -> BTreeSet<Vec<String>> {
    let mut targets: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (from, to) in imports.keys() {
        targets.entry(from).or_default().push(to);
    }
    let reached = |from: &str| {
        let mut reached = BTreeSet::new();
        let mut next = vec![from];
        while let Some(file) = next.pop() {
            let new = targets.get(file).into_iter().flatten().filter(|to| reached.insert(**to));
            next.extend(new.collect::<Vec<_>>());
        }
        reached
    };
    let reached: BTreeMap<&str, BTreeSet<&str>> =
        targets.keys().map(|&file| (file, reached(file))).collect();
    let round = reached.iter().filter(|(file, to)| to.contains(*file));
    let circle = |(file, to): (&&str, &BTreeSet<&str>)| {
        let back = |to: &&&str| reached.get(**to).is_some_and(|back| back.contains(file));
        to.iter().filter(back).map(|file| (*file).to_owned()).collect()
    };
    round.map(circle).collect()
}
