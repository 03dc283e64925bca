// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! Link arguments of the plugin.

fn main() {
    // The daemon never unloads a handler and threads of ours outlive every device: make that
    // explicit to the loader.
    println!("cargo::rustc-cdylib-link-arg=-Wl,-z,nodelete");
    println!("cargo::rerun-if-changed=build.rs");
}
