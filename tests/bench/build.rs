// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! The bench is the daemon for the handlers that it loads: they find its functions in this
//! executable.

fn main() {
    println!("cargo::rustc-link-arg-bins=-Wl,--export-dynamic");
    println!("cargo::rerun-if-changed=build.rs");
}
