// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! Makes each test executable a tcmu-runner: the plugin resolves the daemon's symbols from it.

fn main() {
    println!("cargo::rustc-link-arg-tests=-Wl,--export-dynamic");
    println!("cargo::rerun-if-changed=build.rs");
}
