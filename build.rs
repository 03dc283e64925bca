// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! Link arguments of the plugin and of the test hosts, and the version stamp. Nothing else.

fn main() {
    // The daemon never unloads a handler and threads of ours outlive every device: make that
    // explicit to the loader.
    println!("cargo::rustc-cdylib-link-arg=-Wl,-z,nodelete");
    // The fake runner (tests/support) is the test executable itself: the plugin resolves the
    // daemon's symbols from it.
    println!("cargo::rustc-link-arg-tests=-Wl,--export-dynamic");
    println!("cargo::rerun-if-changed=build.rs");
}
