// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! Finds libgfapi and generates bindings for the functions of [`FUNCTIONS`] from the installed
//! header.

use std::env;
use std::path::PathBuf;
use std::process::exit;

/// Every libgfapi function the project calls. A new one is added here, and nowhere else. Some are
/// those of the command `tcmu-glfs`; the plugin does not import them.
const FUNCTIONS: [&str; 38] = [
    "glfs_new",
    "glfs_set_volfile",
    "glfs_set_logging",
    "glfs_set_xlator_option",
    "glfs_setfsuid",
    "glfs_setfsgid",
    "glfs_setfsgroups",
    "glfs_init",
    "glfs_fini",
    "glfs_open",
    "glfs_close",
    "glfs_fstat",
    "glfs_preadv_async",
    "glfs_pwritev_async",
    "glfs_fdatasync_async",
    "glfs_discard_async",
    "glfs_zerofill_async",
    "glfs_fd_set_lkowner",
    "glfs_posix_lock",
    "glfs_file_lock",
    "glfs_getxattr",
    "glfs_fgetxattr",
    "glfs_fsetxattr",
    "glfs_pread",
    "glfs_pwrite",
    "glfs_creat",
    "glfs_ftruncate",
    "glfs_fallocate",
    "glfs_fsync",
    "glfs_lseek",
    "glfs_dup",
    "glfs_unlink",
    "glfs_mkdir",
    "glfs_statvfs",
    "glfs_opendir",
    "glfs_readdirplus",
    "glfs_closedir",
    "glfs_removexattr",
];

/// libgfapi's own number (GlusterFS 6 and later): the first with the five-argument completion
/// callback.
const OLDEST_API: &str = "7.6";

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=wrapper.h");

    // Only gfapi itself is linked: the .pc file also lists libraries that gfapi needs, not we.
    let gfapi = pkg_config::Config::new()
        .atleast_version(OLDEST_API)
        .cargo_metadata(false)
        .probe("glusterfs-api")
        .unwrap_or_else(|e| {
            fail(&format!(
                "libgfapi {OLDEST_API} or later was not found by pkg-config.\n\
                 Debian, Ubuntu: apt-get install libglusterfs-dev pkg-config\n\
                 Fedora:         dnf install glusterfs-api-devel pkgconf\n\
                 pkg-config said: {e}"
            ))
        });
    for path in &gfapi.link_paths {
        println!("cargo::rustc-link-search=native={}", path.display());
    }
    println!("cargo::rustc-link-lib=dylib=gfapi");
    println!("cargo::metadata=version={}", gfapi.version);
    println!("cargo::rustc-env=GFAPI_VERSION={}", gfapi.version);

    if std::panic::catch_unwind(bindgen::clang_version).is_err() {
        fail(
            "bindgen needs libclang to read <glusterfs/api/glfs.h>.\n\
             Debian, Ubuntu: apt-get install libclang-dev\n\
             Fedora:         dnf install clang-devel",
        );
    }

    let mut builder = bindgen::Builder::default()
        .header("wrapper.h")
        .clang_args(gfapi.include_paths.iter().map(|p| format!("-I{}", p.display())))
        .allowlist_recursively(false)
        .allowlist_type("glfs(_fd)?(_t)?")
        .allowlist_type("glfs_io_cbk")
        .allowlist_type("glfs_lock_mode(_t)?")
        .blocklist_type("glfs_stat")
        .generate_comments(false)
        .merge_extern_blocks(true)
        .wrap_unsafe_ops(true);
    for function in FUNCTIONS {
        builder = builder.allowlist_function(function);
    }
    let bindings = builder
        .generate()
        .unwrap_or_else(|e| fail(&format!("bindgen could not read <glusterfs/api/glfs.h>: {e}")));
    let out = env::var_os("OUT_DIR").map(PathBuf::from).unwrap_or_default().join("bindings.rs");
    if let Err(e) = bindings.write_to_file(&out) {
        fail(&format!("{} could not be written: {e}", out.display()));
    }
}

fn fail(why: &str) -> ! {
    for line in why.lines() {
        println!("cargo::error={line}");
    }
    exit(1)
}
