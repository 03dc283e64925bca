// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! Makes the executable a tcmu-runner: the plugin looks up the daemon's functions in it.

fn main() {
    println!("cargo::rustc-link-arg-bins=-Wl,--export-dynamic");
    println!("cargo::rerun-if-changed=build.rs");
}
