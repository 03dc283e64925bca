// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! Tests of the checker itself, on sources that break its rules.

use std::collections::BTreeMap;

use super::imports::{Imports, Tree, circles};
use super::upward;

/// The imports of a crate `k` of these files; the first is its root.
fn imports(files: &[(&str, &str)]) -> Imports {
    let sources: BTreeMap<_, _> =
        files.iter().map(|&(file, text)| (file.to_owned(), text.to_owned())).collect();
    let mut tree = Tree::default();
    tree.add_crate("k", files[0].0, &sources);
    tree.imports()
}

fn found(files: &[(&str, &str)]) -> Vec<String> {
    imports(files).keys().map(|(from, to)| format!("{from} > {to}")).collect()
}

#[test]
fn each_way_to_name_a_file_is_an_import() {
    for code in [
        "use crate::b::B;",
        "use super::b::B;",
        "use crate::{b::B, c};",
        "use super::b::{self, B};",
        "use crate::b::B as C;",
        "use crate::b::*;",
        "use super::b; fn f() { b::f(); }",
        "fn f() -> crate::b::B { todo!() }",
        "fn f() { g!(super::b::B); }",
        "use super::b; fn f() -> S { S { b: b::f() } }",
        "mod inner { use super::super::b::B; }",
        "use crate::B;",
        "use crate::c::D;",
    ] {
        let root = ("k/lib.rs", "mod a; mod b; mod c; pub use b::B;");
        let c = ("k/c.rs", "pub use super::b::B as D;");
        let found = found(&[root, ("k/a.rs", code), ("k/b.rs", "pub struct B;"), c]);
        assert!(found.contains(&"k/a.rs > k/b.rs".to_owned()), "{code}: {found:?}");
    }
}

#[test]
fn comments_strings_tests_and_other_crates_are_no_imports() {
    for code in [
        "// use crate::b::B;",
        "/// [`crate::b::B`]\nstruct S;",
        "const S: &str = \"crate::b::B\";",
        "#[cfg(test)] mod tests { use crate::b::B; }",
        "#[cfg(test)] use crate::{b::B};",
        "use ::b::B;",
        "use std::b::B;",
        "fn f(x: ::b::B) {}",
        "fn f(x: X) { x.b::<u8>() }",
    ] {
        let root = ("k/lib.rs", "mod a; mod b;");
        assert!(found(&[root, ("k/a.rs", code), ("k/b.rs", "pub struct B;")]).is_empty(), "{code}");
    }
}

#[test]
fn a_deliberate_circle_is_found_however_long_it_is() {
    let root = ("k/lib.rs", "mod a; mod b; mod c; mod d;");
    let (a, b) = (("k/a.rs", "use crate::b::f;"), ("k/b.rs", "fn f() { super::c::f() }"));
    let (c, d) = (("k/c/mod.rs", "mod e; pub use e::f;"), ("k/d.rs", "use crate::a::A;"));
    let straight = imports(&[root, a, b, c, d, ("k/c/e.rs", "pub fn f() {}")]);
    assert!(circles(&straight).is_empty());
    let round = imports(&[root, a, b, c, d, ("k/c/e.rs", "use super::super::a::A; pub fn f() {}")]);
    let circles: Vec<_> = circles(&round).into_iter().collect();
    assert_eq!(circles, [["k/a.rs", "k/b.rs", "k/c/e.rs"]]);
}

#[test]
fn a_child_that_imports_its_parent_is_a_circle_if_the_parent_imports_it() {
    let (root, parent) = (("k/lib.rs", "mod a;"), "mod b; use b::f; pub struct A;");
    let child = |code| imports(&[root, ("k/a/mod.rs", parent), ("k/a/b.rs", code)]);
    assert!(circles(&child("pub fn f() {}")).is_empty());
    let found: Vec<_> = circles(&child("use super::A; pub fn f() {}")).into_iter().collect();
    assert_eq!(found, [["k/a/b.rs", "k/a/mod.rs"]]);
}

#[test]
fn an_arrow_upward_is_found_through_a_re_export() {
    let root = ("handler/lib.rs", "mod lun; mod gluster; mod log;");
    let lun = ("handler/lun/mod.rs", "pub mod backend; mod gate; pub use gate::Gate;");
    let (gate, backend) = (("handler/lun/gate.rs", ""), ("handler/lun/backend.rs", ""));
    let log = ("handler/log/mod.rs", "");
    let with = |code| {
        let gluster = ("handler/gluster/mod.rs", code);
        upward(&imports(&[root, lun, gate, backend, gluster, log]))
    };
    assert!(with("use crate::lun::backend::Backend; use crate::log::Log;").is_empty());
    let wrong = with("use crate::lun::Gate;");
    assert_eq!(wrong, ["handler/gluster/mod.rs -> handler/lun/gate.rs: {\"Gate\"}"]);
}
